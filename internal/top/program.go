package top

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"
)

// Options of a screen.
type Options struct {
	Address  string        // of the Sluice, to be shown
	Interval time.Duration // between two looks, more than 0
	Color    bool          // whether colours may be used
}

// spans are what the charts can show, by the key z.
var spans = []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour}

// Run shows a screen on a terminal until ctx ends or somebody leaves it. The terminal is then as it was.
func Run(ctx context.Context, c Caller, o Options, in io.Reader, out io.Writer) error {
	m := newModel(ctx, c, o)
	_, err := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithoutSignalHandler(), tea.WithFPS(20)).Run()
	if err != nil && ctx.Err() == nil && !errors.Is(err, tea.ErrInterrupted) {
		return fmt.Errorf("terminal: %w", err)
	}
	return nil
}

// model is the screen as bubbletea wants it. It is changed by messages only.
type model struct {
	ctx      context.Context
	caller   Caller
	interval time.Duration
	state    *State
	view     View
	span     int    // index into spans, or -1 while nobody has chosen
	held     string // the frame that stands still
	looked   time.Time
}

// lookedMsg is what came of a look, tickMsg that the next one is due.
type lookedMsg struct {
	look Look
	err  error
}

type tickMsg struct{}

func newModel(ctx context.Context, c Caller, o Options) *model {
	return &model{
		ctx: ctx, caller: c, interval: o.Interval, state: NewState(o.Address), span: -1,
		view: View{Width: 80, Height: 24, Color: o.Color, Now: time.Now()},
	}
}

// Init begins to look.
func (m *model) Init() tea.Cmd { return m.lookCmd(firstDecisions) }

func (m *model) lookCmd(decisions int) tea.Cmd {
	m.looked = time.Now()
	return func() tea.Msg {
		l, err := look(m.ctx, m.caller, decisions)
		return lookedMsg{l, err}
	}
}

// Update takes a message in.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	m.view.Now = time.Now()
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.view.Width, m.view.Height, m.held = msg.Width, msg.Height, ""
		m.hold(m.view.Held)
	case lookedMsg:
		if msg.err != nil {
			m.state.Fail(msg.err, m.view.Now)
		} else {
			m.state.Add(msg.look)
		}
		wait := max(m.interval-time.Since(m.looked), m.interval/10)
		return m, tea.Tick(wait, func(time.Time) tea.Msg { return tickMsg{} })
	case tickMsg:
		if m.state.last() == nil {
			return m, m.lookCmd(firstDecisions)
		}
		return m, m.lookCmd(laterDecisions)
	case tea.KeyPressMsg:
		return m, m.key(msg.String())
	}
	return m, nil
}

// key does what a key asks for.
func (m *model) key(name string) tea.Cmd {
	v := &m.view
	page := max(1, v.Height/3)
	switch name {
	case "q", "ctrl+c":
		return tea.Quit
	case "esc":
		v.Help = false
	case "?", "h":
		v.Help = !v.Help
	case "s":
		v.Sort, v.Scroll = (v.Sort+1)%len(fields), 0
	case "S", "shift+s":
		v.Sort, v.Scroll = (v.Sort+len(fields)-1)%len(fields), 0
	case "r":
		v.Reverse, v.Scroll = !v.Reverse, 0
	case "z":
		m.zoom(1)
	case "Z", "shift+z":
		m.zoom(len(spans) - 1)
	case "w":
		v.Depth = !v.Depth
	case "tab", "d":
		v.Why = !v.Why
	case "up", "k":
		v.Scroll--
	case "down", "j":
		v.Scroll++
	case "pgup":
		v.Scroll -= page
	case "pgdown":
		v.Scroll += page
	case "home", "g":
		v.Scroll = 0
	case "space":
		m.hold(!v.Held)
		return nil
	}
	v.Scroll = max(0, v.Scroll)
	if l := m.state.last(); l != nil {
		v.Scroll = min(v.Scroll, max(0, len(m.state.rows())-1))
	}
	m.hold(v.Held) // a key is answered although the picture is held
	return nil
}

// zoom goes on by some steps from what the charts show.
func (m *model) zoom(by int) {
	if m.span < 0 {
		m.span = slices.Index(spans, m.state.known(m.view.Now))
	}
	m.span = (m.span + by) % len(spans)
	m.view.Span = spans[m.span]
}

// hold makes the picture stand still as it is now, or move on.
func (m *model) hold(held bool) {
	m.view.Held, m.held = held, ""
	if held {
		m.held = m.state.Frame(m.view)
	}
}

// View hands the frame to the terminal.
func (m *model) View() tea.View {
	frame := m.held
	if frame == "" {
		frame = m.state.Frame(m.view)
	}
	v := tea.NewView(frame)
	v.AltScreen = true
	v.WindowTitle = "sluice top " + clean(m.state.address)
	return v
}
