package analyzer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/sluicehq/sluice"
)

// panicError is a panic of the handler as an error.
type panicError struct {
	value any
	at    string // where it happened, "main.parse (parse.go:42)"
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("handler panicked: %v, in %s", e.value, e.at) }

// errGoexit stands for a handler that ended its goroutine, as testing.T.FailNow does.
var errGoexit = errors.New("the handler called runtime.Goexit instead of returning")

// callSafely calls the handler and passes its verdict to done, exactly once, even where the handler does not return.
func callSafely(ctx context.Context, h Handler, b *sluice.Batch, done func(error)) {
	err := errGoexit
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v, at: panicSite(), stack: debug.Stack()}
		}
		done(err)
	}()
	err = h.Handle(ctx, b)
}

// panicSite names the function that panicked: the first one on the stack beyond the runtime's own. It must be called
// while the panic is being recovered, when the frames that panicked are still there.
func panicSite() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs)])
	panicking := false
	for {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			panicking = true
		case panicking && f.Function != "" && !strings.HasPrefix(f.Function, "runtime."):
			return fmt.Sprintf("%s (%s:%d)", f.Function, filepath.Base(f.File), f.Line)
		}
		if !more {
			return "an unknown place"
		}
	}
}
