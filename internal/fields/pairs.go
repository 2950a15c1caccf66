package fields

import "bytes"

// longPairs is how much of a line is looked at for key=value pairs.
const longPairs = 8 << 10

// scanPairs makes the view one of key=value pairs, as logfmt has them: level=info msg="two words". Words without a key are passed over.
func (v *View) scanPairs(b []byte, tabbed bool) {
	b = b[:min(len(b), longPairs)]
	v.reset(b, false)
	if tabbed {
		v.scanTabbed()
		return
	}
	for i := 0; i < len(b) && b[i] != '\n'; {
		if b[i] <= ' ' || b[i] == ',' { // every byte that no key begins with is passed here, so that each round goes on
			i++
			continue
		}
		p := place{keyFrom: i, depth: 1}
		for i < len(b) && b[i] != '=' && b[i] > ' ' && b[i] != '"' {
			i++
		}
		p.keyTo = i
		if i >= len(b) || b[i] != '=' {
			if i < len(b) && b[i] == '"' {
				i = closingQuote(b, i)
			}
			continue
		}
		i++
		p.from = i
		if i < len(b) && b[i] == '"' {
			i = closingQuote(b, i)
		} else {
			for i < len(b) && b[i] > ' ' {
				i++
			}
		}
		p.to = i
		for p.to > p.from && (b[p.to-1] == ',' || b[p.to-1] == ';') {
			p.to--
		}
		v.setPair(p)
	}
}

// scanTabbed reads labels and values: time:[31/Jan/2024:10:00:00 +0100]<tab>status:200. A value ends at the tab.
func (v *View) scanTabbed() {
	line, _, _ := bytes.Cut(v.line, []byte{'\n'})
	for i := 0; i < len(line); {
		end := len(line)
		if at := bytes.IndexByte(line[i:], '\t'); at >= 0 {
			end = i + at
		}
		if at := bytes.IndexByte(line[i:end], ':'); at > 0 {
			v.setPair(place{keyFrom: i, keyTo: i + at, from: i + at + 1, to: end, depth: 1})
		}
		i = end + 1
	}
}

// setPair notes a value, of two with one name the first.
func (v *View) setPair(p place) {
	if p.to == p.from {
		return
	}
	if f := v.find(v.line[p.keyFrom:p.keyTo], 0); f.slot != noSlot && !v.is(f.slot) {
		v.set(f.slot, p)
	}
}

// closingQuote is the index behind the quote that closes the one at i, or the end.
func closingQuote(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}
