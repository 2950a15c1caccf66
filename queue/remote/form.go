package remote

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/internal/visible"
	"github.com/sluicehq/sluice/queue"
)

// StoredForm is the media type of an answer to a [LeaseRequest] that holds batches as they are stored: packed, and not looked
// into on the way. All numbers are big endian.
//
//	size
//	   4  "SLW" and the version, 1
//	   2  number of outcomes, one for each of the acks, in their order
//	      of each outcome:
//	   2    status, as of HTTP
//	   2    length of the error
//	        the error, for people; empty where there is none
//	      then leases to the end of the body, of each:
//	   2    length of the token
//	        the token
//	   2    times that the batch was handed back before, at most 65,535
//	   2    attempt, at most 65,535
//	   4    milliseconds until the lease ends
//	   4    length of the batch
//	        the batch, see sluice.DecodeBatch
const StoredForm = "application/vnd.sluice.leases"

const formMagic = "SLW\x01"

// Bounds of what is read.
const (
	maxToken  = 1 << 10
	maxStored = 2 * sluice.MaxBatchBytes // the most that a batch may take as stored
	bigStored = 512 << 10                // what a header says beyond this is believed as it arrives
)

// ErrForm says that an answer is not the [StoredForm] that this program reads.
var ErrForm = errors.New("not an answer in the stored form")

// AppendOutcomes appends the beginning of the stored form, which the leases follow.
func AppendOutcomes(out []byte, outcomes []Outcome) []byte {
	out = append(out, formMagic...)
	out = binary.BigEndian.AppendUint16(out, uint16(len(outcomes)))
	for _, o := range outcomes {
		msg := o.Message[:min(len(o.Message), math.MaxUint16)]
		out = binary.BigEndian.AppendUint16(out, uint16(o.Status))
		out = binary.BigEndian.AppendUint16(out, uint16(len(msg)))
		out = append(out, msg...)
	}
	return out
}

// AppendLease appends a lease to the stored form. An error is about the batch; out is then unchanged.
func AppendLease(out []byte, l queue.Lease, now time.Time) ([]byte, error) {
	start := len(out)
	left := min(max(l.Expires.Sub(now).Milliseconds(), 0), math.MaxUint32)
	out = binary.BigEndian.AppendUint16(out, uint16(len(l.Token)))
	out = append(out, l.Token...)
	out = binary.BigEndian.AppendUint16(out, uint16(min(l.HandBacks, math.MaxUint16)))
	out = binary.BigEndian.AppendUint16(out, uint16(min(l.Attempt, math.MaxUint16)))
	out = binary.BigEndian.AppendUint32(out, uint32(left))
	length := len(out)
	out = append(out, 0, 0, 0, 0)
	all, err := l.Batch.AppendEncode(out)
	if err != nil {
		return out[:start], err
	}
	binary.BigEndian.PutUint32(all[length:], uint32(len(all)-length-4))
	return all, nil
}

// readForm reads the stored form: outcomes of as many acks as were sent, and at most maxLeases leases. Each is passed on as
// soon as it is read.
func readForm(r io.Reader, acks, maxLeases int, outcome func(int, Outcome), lease func(queue.Lease)) error {
	var head [10]byte
	if _, err := io.ReadFull(r, head[:6]); err != nil {
		return fmt.Errorf("%w: %w", ErrForm, err)
	}
	switch {
	case string(head[:3]) != formMagic[:3]:
		return ErrForm
	case head[3] != formMagic[3]:
		return fmt.Errorf("%w: version %d, this program reads %d", ErrForm, head[3], formMagic[3])
	case int(binary.BigEndian.Uint16(head[4:])) != acks:
		return fmt.Errorf("%w: %d outcomes of %d acks", ErrForm, binary.BigEndian.Uint16(head[4:]), acks)
	}
	for i := range acks {
		if _, err := io.ReadFull(r, head[:4]); err != nil {
			return unexpected(err)
		}
		msg, err := readBytes(r, int(binary.BigEndian.Uint16(head[2:])))
		if err != nil {
			return err
		}
		outcome(i, Outcome{Status: int(binary.BigEndian.Uint16(head[:])), Message: visible.Cut(string(msg), maxMessage)})
	}
	for n := 0; ; n++ {
		if _, err := io.ReadFull(r, head[:2]); err == io.EOF {
			return nil
		} else if err != nil {
			return unexpected(err)
		}
		if n == maxLeases {
			return fmt.Errorf("%w: more than %d leases", ErrForm, maxLeases)
		}
		l, err := readLease(r, int(binary.BigEndian.Uint16(head[:])))
		if err != nil {
			return err
		}
		lease(l)
	}
}

func readLease(r io.Reader, token int) (l queue.Lease, err error) {
	if token > maxToken {
		return l, fmt.Errorf("%w: a token of %d bytes, at most %d are read", ErrForm, token, maxToken)
	}
	head, err := readBytes(r, token+12)
	if err != nil {
		return l, err
	}
	l.Token, head = string(head[:token]), head[token:]
	l.HandBacks, l.Attempt = int(binary.BigEndian.Uint16(head)), int(binary.BigEndian.Uint16(head[2:]))
	left := time.Duration(binary.BigEndian.Uint32(head[4:])) * time.Millisecond
	size := int64(binary.BigEndian.Uint32(head[8:]))
	if size > maxStored {
		return l, fmt.Errorf("%w: a batch of %d bytes, at most %d are read", ErrForm, size, maxStored)
	}
	data, err := readBytes(r, int(size))
	if err != nil {
		return l, err
	}
	if l.Batch, err = sluice.DecodeBatch(data); err != nil {
		return l, fmt.Errorf("%w: %w", ErrForm, err)
	}
	l.Expires = time.Now().Add(left)
	return l, nil
}

// readBytes reads n bytes into memory that grows no faster than they arrive once they are many.
func readBytes(r io.Reader, n int) ([]byte, error) {
	if n <= bigStored {
		b := make([]byte, n)
		_, err := io.ReadFull(r, b)
		return b, unexpected(err)
	}
	var b bytes.Buffer
	_, err := io.CopyN(&b, r, int64(n))
	return b.Bytes(), unexpected(err)
}

// unexpected says of an end of the answer that it came too early.
func unexpected(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: %w", ErrForm, io.ErrUnexpectedEOF)
	}
	return err
}

// Err is nil, or what went wrong as the same answer to a request of its own would be reported.
func (o Outcome) Err() error {
	if o.Status/100 == 2 {
		return nil
	}
	return errorOf(&StatusError{Status: o.Status, Body: Error{Message: o.Message}})
}

// errorOf wraps an answer in what it means to a queue.
func errorOf(e *StatusError) error {
	switch {
	case e.Status == http.StatusConflict:
		return fmt.Errorf("%w: %w", queue.ErrLeaseExpired, e)
	case e.Status == http.StatusNotFound:
		return &notFoundError{e}
	case e.Status >= 500, e.Status == http.StatusUnauthorized: // tokens are exchanged while everything runs
		return fmt.Errorf("%w: %w", queue.ErrUnavailable, e)
	}
	return e
}
