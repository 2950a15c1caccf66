package fields

// longPairs is how much of a line is looked at for key=value pairs.
const longPairs = 8 << 10

// scanPairs makes the view one of key=value pairs, as logfmt has them: level=info msg="two words". Words without a key are passed over.
func (v *View) scanPairs(b []byte) {
	b = b[:min(len(b), longPairs)]
	v.reset(b, false)
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
		if p.to == p.from {
			continue
		}
		if f := v.find(b[p.keyFrom:p.keyTo], 0); f.slot != noSlot && !v.is(f.slot) {
			v.set(f.slot, p)
		}
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
