package emitter

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// packer compresses bodies by the name of a content encoding; an empty name leaves them as they are.
type packer struct {
	name string
	gzip sync.Pool // *gzip.Writer
	zstd sync.Pool // *zstd.Encoder
	bufs sync.Pool // *bytes.Buffer
}

// pack returns the body to send. free gives its memory back and must be called when it is no longer used.
func (p *packer) pack(lines []byte) (body []byte, free func(), err error) {
	if p.name == "" {
		return lines, func() {}, nil
	}
	buf, _ := p.bufs.Get().(*bytes.Buffer)
	if buf == nil {
		buf = new(bytes.Buffer)
	}
	buf.Reset()
	free = func() { p.bufs.Put(buf) }
	switch p.name {
	case "gzip":
		err = p.packGzip(buf, lines)
	case "zstd":
		err = p.packZstd(buf, lines)
	default:
		err = fmt.Errorf("unknown compression %q", p.name)
	}
	if err != nil {
		free()
		return nil, nil, fmt.Errorf("compress %d bytes: %w", len(lines), err)
	}
	return buf.Bytes(), free, nil
}

func (p *packer) packGzip(buf *bytes.Buffer, lines []byte) error {
	w, _ := p.gzip.Get().(*gzip.Writer)
	if w == nil {
		var err error
		if w, err = gzip.NewWriterLevel(buf, gzip.BestSpeed); err != nil {
			return err
		}
	}
	defer p.gzip.Put(w)
	w.Reset(buf)
	if _, err := w.Write(lines); err != nil {
		return err
	}
	return w.Close()
}

func (p *packer) packZstd(buf *bytes.Buffer, lines []byte) error {
	e, _ := p.zstd.Get().(*zstd.Encoder)
	if e == nil {
		var err error
		if e, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1)); err != nil {
			return err
		}
	}
	defer p.zstd.Put(e)
	buf.Grow(len(lines) / 4)
	packed := e.EncodeAll(lines, buf.AvailableBuffer())
	buf.Write(packed)
	return nil
}
