package cli

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync"

	"golang.org/x/term"

	"github.com/sluicehq/sluice/internal/visible"
	"github.com/sluicehq/sluice/queue/remote"
)

// screen is where a command prints. Whatever it is given, nothing comes out that a terminal would obey but line breaks and tabs; so a name or
// an error that came from outside and was not looked at does no harm. Line breaks within such texts are what [server] is for.
type screen struct {
	mu    sync.Mutex // logs and progress come from several goroutines
	under io.Writer
	safe  io.Writer
}

func newScreen(w io.Writer) *screen { return &screen{under: w, safe: visible.Writer(w)} }

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.safe.Write(b)
}

// raw is what a screen writes to, for those who move the cursor themselves and print nothing from outside that was not made safe.
func raw(w io.Writer) io.Writer {
	if s, ok := w.(*screen); ok {
		return s.under
	}
	return w
}

// isTerminal is asked of what is written to and of what is read from.
func isTerminal(stream any) bool {
	if s, ok := stream.(*screen); ok {
		stream = s.under
	}
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// server is a distributor or another process whose answers are printed: as one line each are all texts in them, unless they are printed as
// JSON, which has escapes of its own.
type server struct {
	*remote.Client
	asJSON bool
}

// Call is that of [remote.Client].
func (s *server) Call(ctx context.Context, method, path string, in, out any) error {
	err := s.Client.Call(ctx, method, path, in, out)
	if err == nil && !s.asJSON {
		visible.All(out)
	}
	return err
}

// maxAttr is how many bytes of a text a log line has at most.
const maxAttr = 8 << 10

// bounded cuts what is long in a log line, such as an error with the answer of a server in it. The screen makes it safe.
func bounded(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case string:
		if len(v) > maxAttr {
			a.Value = slog.StringValue(visible.Cut(v, maxAttr))
		}
	case error:
		if text := v.Error(); len(text) > maxAttr {
			a.Value = slog.StringValue(visible.Cut(text, maxAttr))
		}
	}
	return a
}
