package fields

import (
	"bytes"
	"fmt"
	"strings"
)

// Pattern is a way to write times, compiled from a Go layout or from the directives of strftime.
type Pattern struct {
	parts   []part
	written Parts
}

// part is a directive, named by its strftime letter, or text to find as it is.
type part struct {
	directive byte
	loose     bool // of numbers: one digit will do, and a space may stand before it
	text      string
}

// Compile reads a Go layout or, where there is a percent sign, strftime.
func Compile(text string) (*Pattern, error) {
	var p Pattern
	var err error
	if strings.Contains(text, "%") {
		err = p.strftime(text)
	} else {
		p.layout(text)
	}
	if err == nil {
		err = p.complete()
	}
	if err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	return &p, nil
}

func mustCompile(text string) *Pattern {
	p, err := Compile(text)
	if err != nil {
		panic(err) // a mistake in this package
	}
	return p
}

// shorthands are directives that stand for several.
var shorthands = map[byte]string{
	'T': "%H:%M:%S", 'F': "%Y-%m-%d", 'D': "%m/%d/%y", 'c': "%a %b %e %H:%M:%S %Y", 'h': "%b", 'n': "\n", 't': "\t",
	'r': "%I:%M:%S %p", 'R': "%H:%M",
}

// directives are those that stand for themselves.
const directives = "YymdeHkIlMSbBaApzZjsfLN"

func (p *Pattern) strftime(text string) error {
	for len(text) > 0 {
		before, rest, found := strings.Cut(text, "%")
		p.literal(before)
		if !found {
			return nil
		}
		rest = strings.TrimLeft(rest, "-_0:3456789") // paddings, %:z, %3N: reading takes them all alike
		if rest == "" {
			return fmt.Errorf("it ends within a directive, want %%%% for a percent sign")
		}
		d := rest[0]
		text = rest[1:]
		long, short := shorthands[d]
		switch {
		case d == '%':
			p.literal("%")
		case short:
			if err := p.strftime(long); err != nil {
				return err
			}
		case strings.IndexByte(directives, d) >= 0:
			p.add(part{directive: d, loose: strings.IndexByte("ekl", d) >= 0})
		default:
			return fmt.Errorf("%%%c is not known, want some of %%Y %%m %%d %%H %%M %%S %%b %%e %%y %%j %%I %%p %%f %%z %%Z %%s %%T %%F", d)
		}
	}
	return nil
}

// chunks are the parts of Go layouts, each before those that it begins with.
var chunks = []struct {
	text      string
	directive byte
	loose     bool
}{
	{"January", 'B', false}, {"Jan", 'b', false}, {"Monday", 'A', false}, {"Mon", 'a', false}, {"MST", 'Z', false},
	{"2006", 'Y', false}, {"002", 'j', false}, {"__2", 'j', true},
	{"01", 'm', false}, {"02", 'd', false}, {"03", 'I', false}, {"04", 'M', false}, {"05", 'S', false}, {"06", 'y', false},
	{"15", 'H', false}, {"PM", 'p', false}, {"pm", 'p', false},
	{"-07:00:00", 'z', false}, {"-07:00", 'z', false}, {"-070000", 'z', false}, {"-0700", 'z', false}, {"-07", 'z', false},
	{"Z07:00:00", 'z', false}, {"Z07:00", 'z', false}, {"Z070000", 'z', false}, {"Z0700", 'z', false}, {"Z07", 'z', false},
	{"_2", 'e', true}, {"1", 'm', true}, {"2", 'd', true}, {"3", 'I', true}, {"4", 'M', true}, {"5", 'S', true},
}

func (p *Pattern) layout(text string) {
next:
	for len(text) > 0 {
		for _, c := range chunks {
			rest, found := strings.CutPrefix(text, c.text)
			if !found || (c.directive == 'b' || c.directive == 'a') && rest != "" && rest[0] >= 'a' && rest[0] <= 'z' {
				continue
			}
			if c.directive == 'S' { // its fraction is read whether the layout has one or not
				if fraction := strings.TrimLeft(rest, ".,"); len(rest)-len(fraction) == 1 {
					if after := strings.TrimLeft(fraction, "09"); len(after) < len(fraction) {
						rest = after
					}
				}
			}
			p.add(part{directive: c.directive, loose: c.loose})
			text = rest
			continue next
		}
		p.literal(text[:1])
		text = text[1:]
	}
}

func (p *Pattern) add(x part) { p.parts = append(p.parts, x) }

func (p *Pattern) literal(text string) {
	if n := len(p.parts); n > 0 && p.parts[n-1].directive == 0 {
		p.parts[n-1].text += text
	} else if text != "" {
		p.add(part{text: text})
	}
}

// complete checks that a second can be told from what the pattern has.
func (p *Pattern) complete() error {
	has := func(letters string) bool {
		for _, x := range p.parts {
			if x.directive != 0 && strings.IndexByte(letters, x.directive) >= 0 {
				return true
			}
		}
		return false
	}
	if has("s") {
		p.written = HasEpoch
		return nil
	}
	if !has("HkIlMSYymdejbB") {
		return fmt.Errorf(`there is no time in it, want a Go layout such as "2006-01-02 15:04:05" or strftime such as "%%Y-%%m-%%d %%H:%%M:%%S"`)
	}
	if !has("HkIl") || !has("M") || !has("S") {
		return fmt.Errorf("hours, minutes or seconds are missing, want all of them (%%H:%%M:%%S or 15:04:05)")
	}
	if has("Il") && !has("p") {
		return fmt.Errorf("the hours go to 12 only, want %%p (PM) too, or %%H (15)")
	}
	p.written = HasClock
	month, dayOfMonth := has("mbB"), has("de")
	if month != dayOfMonth {
		return fmt.Errorf("there is a month without a day or the other way round, want both or neither")
	}
	if month || has("j") {
		p.written |= HasDate
	}
	if has("Yy") {
		p.written |= HasYear
	}
	if p.written&HasYear != 0 && p.written&HasDate == 0 {
		return fmt.Errorf("there is a year without a month and a day, want all of them or none")
	}
	return nil
}

// Find looks for the first place in the line where the pattern fits.
func (p *Pattern) Find(line []byte) (Stamp, bool) {
	for i := range line {
		if s, _, ok := p.match(line, i); ok {
			return s, true
		}
	}
	return Stamp{}, false
}

// match reads a time that begins at i, and says where it ends.
func (p *Pattern) match(line []byte, i int) (Stamp, int, bool) {
	if i > 0 && p.parts[0].text == "" && isDigit(line[i-1]) && i < len(line) && isDigit(line[i]) {
		return Stamp{}, 0, false // in the midst of a number
	}
	s := Stamp{Written: p.written}
	for n, x := range p.parts {
		if x.directive == 0 {
			if !bytes.HasPrefix(line[i:], []byte(x.text)) {
				return Stamp{}, 0, false
			}
			i += len(x.text)
			continue
		}
		var ok bool
		if i, ok = s.read(x, line, i); !ok {
			return Stamp{}, 0, false
		}
		if x.directive == 'S' && !p.fractionAt(n+1) {
			s.Nano, i = fraction(line, i)
		}
	}
	return s, i, s.valid()
}

// fractionAt says whether the pattern itself goes on with a fraction of a second.
func (p *Pattern) fractionAt(n int) bool {
	return n < len(p.parts) && p.parts[n].text != "" && (p.parts[n].text[0] == '.' || p.parts[n].text[0] == ',')
}
