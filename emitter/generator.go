package emitter

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// The attributes that tell who sent a record. A distributor's handler finds emitters by them.
const (
	AttributeEmitter = "sluice.emitter" // text: the emitter's ID
	AttributeSeq     = "sluice.seq"     // whole number: counts the emitter's records from 1
)

// maxGenerated bounds the size of generated records; distributors take lines of about a megabyte.
const maxGenerated = 512 << 10

// GeneratorOptions says what to generate.
type GeneratorOptions struct {
	Emitter string // ID put into each record; must not be empty
	Seed    uint64 // the same seed, emitter and times give the same bytes
	Size    int    // least size of a record in bytes of JSON, reached by longer bodies; zero means none, at most 512 KiB
}

// Validate reports everything that is wrong with the options.
func (o GeneratorOptions) Validate() error {
	var errs []error
	if o.Emitter == "" {
		errs = append(errs, errors.New("emitter: Emitter is empty, want an ID"))
	}
	if o.Size < 0 || o.Size > maxGenerated {
		errs = append(errs, fmt.Errorf("emitter: Size is %d, want 0 to %d", o.Size, maxGenerated))
	}
	return errors.Join(errs...)
}

// Generator makes records that look like those of a small shop: a gateway's requests, logins, payments, slow databases.
// Most are INFO; a few in a hundred are WARN or ERROR. A record has about 230
// bytes. It is not safe for concurrent use.
type Generator struct {
	rand *rand.PCG
	seq  uint64
	size int
	tail []byte // the attributes up to the sequence number

	second int64  // for which stamp was written
	stamp  []byte // "2026-01-31T15:04:05."
}

// NewGenerator makes a generator whose first record has sequence number 1.
func NewGenerator(o GeneratorOptions) (*Generator, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	g := &Generator{size: o.Size, second: -1 << 62}
	seed := o.Seed
	for _, c := range []byte(o.Emitter) { // FNV-1a: emitters of one pool share the seed and must differ
		seed = (seed ^ uint64(c)) * 1099511628211
	}
	g.rand = rand.NewPCG(o.Seed, seed)
	g.tail = append(g.tail, `},"attributes":{"`+AttributeEmitter+`":`...)
	g.tail = appendText(g.tail, []byte(o.Emitter))
	g.tail = append(g.tail, `,"`+AttributeSeq+`":`...)
	return g, nil
}

// Seq is the sequence number of the record made last; 0 before the first.
func (g *Generator) Seq() uint64 { return g.seq }

// Append appends n records to dst, one JSON object a line. They happen a microsecond apart, beginning at the given time.
func (g *Generator) Append(dst []byte, n int, at time.Time) []byte {
	at = at.UTC()
	for i := range n {
		dst = g.append(dst, at.Add(time.Duration(i)*time.Microsecond))
	}
	return dst
}

func (g *Generator) append(dst []byte, at time.Time) []byte {
	g.seq++
	start := len(dst)
	dst = append(dst, `{"timestamp":"`...)
	dst = g.appendTime(dst, at)
	random := g.rand.Uint64()
	t := &templates[templateOf[random%uint64(len(templateOf))]]
	dst = append(dst, t.head...)
	d := dice{random >> 10, g.rand}
	for i := range t.pieces {
		p := &t.pieces[i]
		dst = append(dst, p.text...)
		if p.fill != nil {
			dst = p.fill(dst, &d)
		}
	}
	resource := t.resources[d.below(hosts)]
	if g.size > 0 {
		rest := len(resource) + len(g.tail) + len("1}}\n") // what still follows, at least
		dst = pad(dst, g.size-(len(dst)-start)-rest, &d)
	}
	dst = append(dst, resource...)
	dst = append(dst, g.tail...)
	dst = strconv.AppendUint(dst, g.seq, 10)
	return append(dst, '}', '}', '\n')
}

// appendTime writes the time with milliseconds and the closing quote.
func (g *Generator) appendTime(dst []byte, at time.Time) []byte {
	if second := at.Unix(); second != g.second {
		g.second = second
		g.stamp = at.AppendFormat(g.stamp[:0], "2006-01-02T15:04:05.")
	}
	ms := at.Nanosecond() / 1e6
	dst = append(dst, g.stamp...)
	return append(dst, byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z', '"')
}

// pad lengthens a body by about n bytes of words.
func pad(dst []byte, n int, d *dice) []byte {
	for end := len(dst) + n; len(dst) < end; {
		dst = append(append(dst, ' '), goods[d.below(len(goods))]...)
	}
	return dst
}

// dice hands out small random numbers from the bits of a large one.
type dice struct {
	bits uint64
	more *rand.PCG
}

// below is a number from 0 to n-1, for n up to 2^16. The bias is below one in a thousand for n below 60, which is no
// matter here.
func (d *dice) below(n int) int {
	if d.bits < 1<<16 {
		d.bits = d.more.Uint64()
	}
	v := int(d.bits & 0xffff)
	d.bits >>= 16
	return v * n >> 16
}

// appendText writes a JSON string. What is not UTF-8 becomes U+FFFD.
func appendText(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i, r := range string(text) {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\t':
			dst = append(dst, '\\', 't')
		case r < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		case r < 0x80:
			dst = append(dst, text[i])
		default:
			dst = append(dst, string(r)...)
		}
	}
	return append(dst, '"')
}
