package remote

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/queue"
)

// form is an answer with outcomes and leases of so many batches.
func form(t testing.TB, outcomes []Outcome, batches int) (data []byte, leases []queue.Lease) {
	t.Helper()
	now := time.Now()
	data = AppendOutcomes(nil, outcomes)
	for i := range batches {
		lines := strings.Repeat(`{"body":"x"}`+"\n", i+1)
		l := queue.Lease{
			Token: fmt.Sprint("3-", i, "-aa706d9db1f94d98"), Attempt: i + 1, HandBacks: 2 * i, Expires: now.Add(30 * time.Second),
			Batch: sluice.NewBatch([]byte(lines), i+1, now),
		}
		leases = append(leases, l)
		var err error
		if data, err = AppendLease(data, l, now); err != nil {
			t.Fatal(err)
		}
	}
	return data, leases
}

func parse(r io.Reader, acks, most int) (outcomes []Outcome, leases []queue.Lease, err error) {
	err = readForm(r, acks, most, func(i int, o Outcome) { outcomes = append(outcomes, o) },
		func(l queue.Lease) { leases = append(leases, l) })
	return outcomes, leases, err
}

func TestTheStoredFormIsReadAsItWasWritten(t *testing.T) {
	want := []Outcome{{Status: 200}, {Status: 409, Message: "lease expired or unknown"}}
	data, sent := form(t, want, 3)
	outcomes, leases, err := parse(iotest.OneByteReader(bytes.NewReader(data)), 2, 3)
	if err != nil || !reflect.DeepEqual(outcomes, want) || len(leases) != 3 {
		t.Fatalf("outcomes %+v, %d leases, %v; want %+v, 3 and no error", outcomes, len(leases), err, want)
	}
	for i, l := range leases {
		got, err := l.Batch.Lines()
		lines, _ := sent[i].Batch.Lines()
		if err != nil || !bytes.Equal(got, lines) || l.Batch.ID != sent[i].Batch.ID || !l.Batch.Accepted.Equal(sent[i].Batch.Accepted) {
			t.Errorf("batch %+v with %q, %v; want %+v", l.Batch, got, err, sent[i].Batch)
		}
		if left := time.Until(l.Expires); l.Token != sent[i].Token || l.Attempt != sent[i].Attempt || l.HandBacks != sent[i].HandBacks || left < 25*time.Second || left > 30*time.Second {
			t.Errorf("lease %+v, want %+v", l, sent[i])
		}
	}
}

func TestAnAnswerThatIsNotTheStoredFormIsRefused(t *testing.T) {
	good, _ := form(t, []Outcome{{Status: 409, Message: "late"}}, 2)
	change := func(at int, b ...byte) []byte {
		return append(append(bytes.Clone(good[:at]), b...), good[at+len(b):]...)
	}
	const lease = 4 + 2 + 4 + 4 // where the first lease begins
	tests := []struct {
		name, want string
		data       []byte
		acks, most int
	}{
		{"JSON", "", []byte(`{"leases":[]}`), 1, 2},
		{"nothing", "EOF", nil, 1, 2},
		{"another version", "version 2", change(3, 2), 1, 2},
		{"outcomes of acks that were not sent", "1 outcomes of 0", good, 0, 2},
		{"more leases than were asked for", "more than 1 leases", good, 1, 1},
		{"a long token", "a token of 65535 bytes", change(lease, 0xff, 0xff), 1, 2},
		{"a batch that is too long", "at most", change(lease+2+len("3-0-aa706d9db1f94d98")+8, 0xff, 0xff, 0xff, 0xff), 1, 2},
		{"a batch that never comes", "unexpected EOF", change(lease+2+len("3-0-aa706d9db1f94d98")+8, 0x07, 0xff, 0xff, 0xff), 1, 2},
		{"a damaged batch", "not a stored batch", change(lease+2+len("3-0-aa706d9db1f94d98")+12, 'X'), 1, 2},
		{"cut short", "unexpected EOF", good[:len(good)-1], 1, 2},
	}
	for _, tt := range tests {
		_, _, err := parse(bytes.NewReader(tt.data), tt.acks, tt.most)
		if !errors.Is(err, ErrForm) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want ErrForm with %q", tt.name, err, tt.want)
		}
	}
}

func FuzzStoredForm(f *testing.F) {
	for n := range 3 {
		data, _ := form(f, []Outcome{{Status: 409, Message: "late"}}, n)
		f.Add(data)
		f.Add(data[:len(data)-1])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		outcomes, leases, err := parse(bytes.NewReader(data), 1, 8)
		if err != nil {
			return
		}
		for _, o := range outcomes {
			if strings.ContainsAny(o.Message, "\\\ufffd…") { // perhaps it was made safe to print when it was read
				return
			}
		}
		// What is read without an error is written as the same bytes, but for the time, and batches that are said to be empty.
		again := AppendOutcomes(nil, outcomes)
		for _, l := range leases {
			if again, err = AppendLease(again, l, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if len(again) != len(data) {
			t.Errorf("%d bytes become %d", len(data), len(again))
		}
	})
}
