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
	"slices"
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
	lines  []line
}

// line is a line of the file.
type line struct {
	number int
	token  string
	sum    [sha256.Size]byte
	scopes Scope
}

// stamp tells whether a file has changed.
type stamp struct {
	modified time.Time
	size     int64
	mode     fs.FileMode
}

// ReadTokens reads a file of tokens. A line is a token, perhaps with the scopes that it has behind it: "TOKEN read,operate". One without
// scopes has all of them. Empty lines do not count, nor what begins with #.
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
	lines, err := parse(text)
	if err != nil {
		return fmt.Errorf("token file %s: %w", t.path, err)
	}
	if t.log != nil {
		if t.lines != nil {
			t.log.Info("tokens read anew", "file", t.path, "tokens", len(lines))
		}
		warnExposed(t.log, "token file", t.path, othersTokens)
	}
	t.seen, t.lines, t.failed = seen, lines, ""
	return nil
}

// parse reads the tokens. What is wrong is told by its line and never by its text.
func parse(text []byte) ([]line, error) {
	var lines []line
	scanner := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; scanner.Scan(); n++ {
		words := strings.Fields(scanner.Text())
		if i := slices.IndexFunc(words, func(w string) bool { return w[0] == '#' }); i >= 0 {
			words = words[:i]
		}
		if len(words) == 0 {
			continue
		}
		l, err := parseLine(n, words)
		if err != nil {
			return nil, err
		}
		for _, other := range lines {
			if other.sum == l.sum && other.scopes != l.scopes {
				return nil, fmt.Errorf("line %d has the token of line %d with other scopes; write all of its scopes into one line", n, other.number)
			}
		}
		lines = append(lines, l)
	}
	if err := scanner.Err(); err != nil {
		return nil, err
	}
	if len(lines) == 0 {
		return nil, errors.New("it has no token; openssl rand -hex 32 makes a good one")
	}
	return lines, nil
}

func parseLine(n int, words []string) (line, error) {
	token, scopes := words[0], Anything
	if i := strings.IndexFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ';' || r == ',' || r == '"' || r == '\\' }); i >= 0 {
		return line{}, fmt.Errorf("line %d has a character that a token may not have, at %d of the token", n, i+1)
	}
	if len(token) < leastToken {
		return line{}, fmt.Errorf("line %d has a token of %d characters, want at least %d, and the token before its scopes; openssl rand -hex 32 makes a good one", n, len(token), leastToken)
	}
	if len(words) > 1 {
		var ok bool
		if scopes, ok = parseScopes(words[1:]); !ok {
			return line{}, fmt.Errorf("line %d has something behind the token that is no scope; want some of %s, with commas between them", n, Anything)
		}
	}
	return line{number: n, token: token, sum: sha256.Sum256([]byte(token)), scopes: scopes}, nil
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

// Scopes is what a token allows; none where it is not one of the file's. A token that is not is looked for once more where the file has
// just changed.
func (t *Tokens) Scopes(token string) Scope {
	sum := sha256.Sum256([]byte(token))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.look()
	if s := t.find(sum); s != 0 {
		return s
	}
	t.reread()
	return t.find(sum)
}

func (t *Tokens) find(sum [sha256.Size]byte) Scope {
	var s Scope
	for i := range t.lines { // all of them, so that the time tells nothing
		s |= t.lines[i].scopes & -Scope(subtle.ConstantTimeCompare(sum[:], t.lines[i].sum[:]))
	}
	return s
}

// For returns what says which token to send: the first that has all of the scopes in need, or else the first.
func (t *Tokens) For(need Scope) func() string {
	return func() string {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.look()
		i := slices.IndexFunc(t.lines, func(l line) bool { return l.scopes&need == need })
		return t.lines[max(i, 0)].token
	}
}
