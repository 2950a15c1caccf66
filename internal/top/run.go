package top

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/sluicehq/sluice/internal/api"
)

// Caller asks the API; *remote.Client is one.
type Caller interface {
	Call(ctx context.Context, method, path string, in, out any) error
}

// Options say whom to look at and where to show it.
type Options struct {
	Client   Caller
	Address  string        // of the process, to be shown
	Interval time.Duration // between two looks; more than 0
	In       io.Reader
	Out      io.Writer // a terminal
}

// patience is how long one look may take.
const patience = 5 * time.Second

// Run shows what happens until ctx ends or somebody leaves.
func Run(ctx context.Context, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends a look that is under way
	s := &screen{ctx: ctx, o: o, model: Model{Address: o.Address}}
	p := tea.NewProgram(s, tea.WithInput(o.In), tea.WithOutput(o.Out), tea.WithoutSignalHandler())
	stop := context.AfterFunc(ctx, p.Quit)
	defer stop()
	_, err := p.Run()
	if ctx.Err() != nil || errors.Is(err, tea.ErrInterrupted) {
		return nil
	}
	return err
}

// Once looks twice, an interval apart so that there are rates, and returns what is known.
func Once(ctx context.Context, o Options) (*Model, error) {
	m := &Model{Address: o.Address}
	m.Seed(past(ctx, o.Client))
	for i := range 2 {
		if i > 0 {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(o.Interval):
			}
		}
		l, err := look(ctx, o.Client)
		if err != nil {
			return nil, err
		}
		m.Add(l)
	}
	return m, nil
}

// look asks for everything. Only the statistics must be there.
func look(ctx context.Context, c Caller) (Look, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var l Look
	if err := c.Call(ctx, "GET", "/v1/stats", nil, &l.Stats); err != nil {
		return l, err
	}
	l.At = time.Now()
	if l.Stats.Autoscaler == nil {
		return l, nil
	}
	var acted api.Decisions
	if c.Call(ctx, "GET", "/v1/decisions?actions=1&limit=100", nil, &acted) == nil {
		l.Acted = acted.Decisions
	}
	if c.Call(ctx, "GET", "/v1/explain", nil, &l.Because) != nil {
		l.Because = Explanation{}
	}
	return l, nil
}

// past is what the process remembers for the charts; nothing where it keeps no series.
func past(ctx context.Context, c Caller) []Point {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var series struct {
		Columns []string
		Rows    [][]float64
	}
	if c.Call(ctx, "GET", "/v1/series?seconds=21600&points=10000", nil, &series) != nil {
		return nil
	}
	at := map[string]int{}
	for i, name := range series.Columns {
		at[name] = i
	}
	points := make([]Point, 0, len(series.Rows))
	for _, row := range series.Rows {
		value := func(name string) float64 {
			if i, ok := at[name]; ok && i < len(row) {
				return row[i]
			}
			return 0
		}
		points = append(points, Point{At: time.Unix(int64(value("time")), 0), Wait: value("oldest_wait_seconds"), Depth: value("depth"),
			Size: value("size"), Named: value("named_size")})
	}
	return points
}

// screen is the model as the terminal library wants it.
type screen struct {
	ctx           context.Context
	o             Options
	model         Model
	width, height int
	seeded        bool
}

type (
	lookMsg struct {
		look Look
		past []Point
		at   time.Time
		err  error
	}
	tickMsg struct{}
)

func (s *screen) Init() tea.Cmd { return s.look() }

// look looks beside the loop that draws, so that keys are answered meanwhile.
func (s *screen) look() tea.Cmd {
	ctx, client, seeded := s.ctx, s.o.Client, s.seeded
	return func() tea.Msg {
		l, err := look(ctx, client)
		msg := lookMsg{look: l, at: time.Now(), err: err}
		if err == nil && !seeded {
			msg.past = past(ctx, client)
		}
		return msg
	}
}

func (s *screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		s.width, s.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		if s.model.Key(msg.String()) {
			return s, tea.Quit
		}
	case tickMsg:
		return s, s.look()
	case lookMsg:
		if msg.err != nil {
			s.model.Fail(msg.at, msg.err)
			return s, s.after(s.o.Interval)
		}
		next := s.o.Interval
		if !s.seeded {
			s.seeded = true
			s.model.Seed(msg.past)
			next = min(next, 300*time.Millisecond) // rates need a second look
		}
		s.model.Add(msg.look)
		return s, s.after(next)
	}
	return s, nil
}

func (s *screen) after(d time.Duration) tea.Cmd {
	return tea.Tick(d, func(time.Time) tea.Msg { return tickMsg{} })
}

func (s *screen) View() tea.View {
	v := tea.NewView(strings.Join(s.model.Lines(time.Now(), s.width, s.height), "\n"))
	v.AltScreen = true
	v.WindowTitle = "sluice top"
	return v
}
