package results

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// window is how many batches are remembered as counted, those that were counted last. An analyzer that got no answer to its result sends it
// again within seconds, and a batch whose acknowledgement was lost comes again once its lease has ended and the delay of a retry is over, within
// two minutes by default: for more than 1,600 batches a second this is too few, and such a batch is counted twice.
const window = 200_000

// key stands for the ID of a batch.
type key [12]byte

func keyOf(batch string) (k key) {
	sum := sha256.Sum256([]byte(batch))
	copy(k[:], sum[:])
	return k
}

// seen is the batches that were counted last.
type seen struct {
	known map[key]struct{}
	order []key // as a ring once it is full
	next  int   // in the ring, the oldest
}

// add remembers a batch, and reports whether it is new. A result without a batch is always new.
func (s *seen) add(batch string) bool {
	return batch == "" || s.addKey(keyOf(batch))
}

func (s *seen) addKey(k key) bool {
	if _, known := s.known[k]; known {
		return false
	}
	if s.known == nil {
		s.known = map[key]struct{}{}
	}
	s.known[k] = struct{}{}
	if len(s.order) < window {
		s.order = append(s.order, k)
		return true
	}
	delete(s.known, s.order[s.next])
	s.order[s.next] = k
	s.next = (s.next + 1) % window
	return true
}

// MarshalJSON writes the keys, the oldest first, as one text in base64.
func (s *seen) MarshalJSON() ([]byte, error) {
	var all bytes.Buffer
	for _, keys := range [][]key{s.order[s.next:], s.order[:s.next]} {
		for _, k := range keys {
			all.Write(k[:])
		}
	}
	return json.Marshal(base64.StdEncoding.EncodeToString(all.Bytes()))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *seen) UnmarshalJSON(text []byte) error {
	var encoded string
	if err := json.Unmarshal(text, &encoded); err != nil {
		return err
	}
	all, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(all)%len(key{}) != 0 || len(all) > window*len(key{}) {
		return fmt.Errorf("batches that were counted: %d bytes, not a list of keys", len(all))
	}
	*s = seen{}
	for ; len(all) > 0; all = all[len(key{}):] {
		s.addKey(key(all))
	}
	return nil
}
