package access

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// leastToken is the least length of a token, in bytes: what is shorter can be guessed.
const leastToken = 16

// lookEvery is how often a file of tokens is looked at, at most.
const lookEvery = time.Second

// Tokens are the lines of a file, which is read again when it changes. A file that can't be read any more, or that is wrong, changes
// nothing: the last good tokens stay.
type Tokens struct {
	path string
	log  *slog.Logger

	mu     sync.Mutex
	looked time.Time
	seen   stamp
	failed string // what was last complained about
	first  string
	sums   [][sha256.Size]byte
}

// stamp tells whether a file has changed.
type stamp struct {
	modified time.Time
	size     int64
	mode     fs.FileMode
}

// ReadTokens reads a file of tokens, one a line. Empty lines, and lines that begin with #, do not count.
func ReadTokens(path string, log *slog.Logger) (*Tokens, error) {
	t := &Tokens{path: path, log: log}
	if err := t.read(); err != nil {
		return nil, err
	}
	t.looked = time.Now()
	return t, nil
}

func (t *Tokens) read() error {
	info, err := os.Stat(t.path)
	if err != nil {
		return fmt.Errorf("token file: %w", err)
	}
	seen := stamp{info.ModTime(), info.Size(), info.Mode()}
	if seen == t.seen {
		return nil
	}
	text, err := os.ReadFile(t.path)
	if err != nil {
		return fmt.Errorf("token file: %w", err)
	}
	first, sums, err := parse(text)
	if err != nil {
		return fmt.Errorf("token file %s: %w", t.path, err)
	}
	if t.sums != nil && t.log != nil {
		t.log.Info("tokens read anew", "file", t.path, "tokens", len(sums))
	}
	t.seen, t.first, t.sums, t.failed = seen, first, sums, ""
	return nil
}

// parse reads the tokens. What is wrong is told by its line and never by its text.
func parse(text []byte) (first string, sums [][sha256.Size]byte, err error) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		token := strings.TrimSpace(lines.Text())
		if token == "" || token[0] == '#' {
			continue
		}
		if len(token) < leastToken {
			return "", nil, fmt.Errorf("line %d has %d characters, want at least %d; openssl rand -hex 32 makes a good one", n, len(token), leastToken)
		}
		if i := strings.IndexFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ';' || r == ',' || r == '"' || r == '\\' }); i >= 0 {
			return "", nil, fmt.Errorf("line %d has a character that a token may not have, at %d", n, i+1)
		}
		if first == "" {
			first = token
		}
		sums = append(sums, sha256.Sum256([]byte(token)))
	}
	if err := lines.Err(); err != nil {
		return "", nil, err
	}
	if len(sums) == 0 {
		return "", nil, errors.New("it has no token; openssl rand -hex 32 makes a good one")
	}
	return first, sums, nil
}

// look reads the file again where that is due. The caller holds mu.
func (t *Tokens) look() {
	now := time.Now()
	if now.Sub(t.looked) < lookEvery {
		return
	}
	t.looked = now
	t.reread()
}

// reread reads the file if it has changed. The caller holds mu.
func (t *Tokens) reread() {
	if err := t.read(); err != nil && err.Error() != t.failed {
		t.failed = err.Error()
		if t.log != nil {
			t.log.Warn("tokens stay as they were", "error", err)
		}
	}
}

// Good says whether a token is one of the file's. A token that is not is looked for once more where the file has just changed.
func (t *Tokens) Good(token string) bool {
	sum := sha256.Sum256([]byte(token))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.look()
	if t.has(sum) {
		return true
	}
	t.reread()
	return t.has(sum)
}

func (t *Tokens) has(sum [sha256.Size]byte) bool {
	good := 0
	for i := range t.sums { // all of them, so that the time tells nothing
		good |= subtle.ConstantTimeCompare(sum[:], t.sums[i][:])
	}
	return good == 1
}

// First is the token to send: the file's first.
func (t *Tokens) First() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.look()
	return t.first
}
