package emitter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	sluice "github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/internal/ranges"
)

// ServerStats is the part of a distributor's /v1/stats that emitters look at, in records.
type ServerStats struct {
	Accepted  int64 `json:"accepted"`  // stored, since the data folder was made
	Completed int64 `json:"completed"` // analyzed
	Dead      int64 `json:"dead"`      // kept as dead letters
	Depth     int64 `json:"depth"`     // waiting
	InFlight  int64 `json:"in_flight"` // leased by an analyzer
}

// ServerStats asks the distributor for its counters, once. It fails while the distributor is out of reach.
func (c *Client) ServerStats(ctx context.Context) (ServerStats, error) {
	var s struct {
		ServerStats
		Depth *int64 `json:"depth"`
	}
	if err := c.get(ctx, "/v1/stats", &s); err != nil {
		return ServerStats{}, err
	}
	if s.Depth == nil {
		return ServerStats{}, errors.New("GET /v1/stats: the answer names no depth")
	}
	s.ServerStats.Depth = *s.Depth
	return s.ServerStats, nil
}

// QueueDepth is the number of records waiting. It asks once; unknown is an error, never zero.
func (c *Client) QueueDepth(ctx context.Context) (int, error) {
	s, err := c.ServerStats(ctx)
	return int(s.Depth), err
}

// Results is what the distributor's handler made of the records, as far as it keeps count.
type Results struct {
	Records    int64                     `json:"records"`
	Bytes      int64                     `json:"bytes"`
	BySeverity map[string]int64          `json:"by_severity"`
	ByService  map[string]int64          `json:"by_service"`
	Emitters   map[string]EmitterResults `json:"emitters"` // by emitter ID; empty if the handler does not track emitters
}

// EmitterResults is what was analyzed of one emitter's records.
type EmitterResults struct {
	Analyzed int64       `json:"analyzed"` // different records
	Twice    int64       `json:"twice"`    // times that a record was analyzed again
	Ranges   *ranges.Set `json:"ranges"`   // their sequence numbers; nil means none
}

// UnmarshalJSON reads the totals by severity and service in any shape of object whose values are numbers; what is not one
// is left out.
func (r *Results) UnmarshalJSON(b []byte) error {
	var raw struct {
		Records    int64                      `json:"records"`
		Bytes      int64                      `json:"bytes"`
		BySeverity map[string]json.RawMessage `json:"by_severity"`
		ByService  map[string]json.RawMessage `json:"by_service"`
		Emitters   map[string]EmitterResults  `json:"emitters"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*r = Results{raw.Records, raw.Bytes, counts(raw.BySeverity), counts(raw.ByService), raw.Emitters}
	return nil
}

// counts reads each value as a number of records, or as an object that has one under "records".
func counts(raw map[string]json.RawMessage) map[string]int64 {
	out := make(map[string]int64, len(raw))
	for name, v := range raw {
		var n int64
		var of struct {
			Records *int64 `json:"records"`
		}
		if json.Unmarshal(v, &n) == nil {
			out[name] = n
		} else if json.Unmarshal(v, &of) == nil && of.Records != nil {
			out[name] = *of.Records
		}
	}
	return out
}

// Results asks the distributor for the results, once. A distributor whose handler keeps none (404) has empty results.
func (c *Client) Results(ctx context.Context) (Results, error) {
	var r Results
	err := c.get(ctx, "/v1/results", &r)
	if refused, ok := errors.AsType[*RefusedError](err); ok && refused.Status == http.StatusNotFound {
		return Results{}, nil
	}
	return r, err
}

// DeadLetter is one entry of the list of dead letters.
type DeadLetter struct {
	ID       string // what DeadRecords and the after of DeadLetters take
	Batch    string // ID of the batch it came from
	Reason   string // the last error
	Attempts int    // how often it was tried
	Records  int    // how many records it holds
}

// UnmarshalJSON reads an entry; its ID may be text or a number.
func (d *DeadLetter) UnmarshalJSON(b []byte) error {
	var raw struct {
		ID       any             `json:"id"`
		Batch    string          `json:"batch"`
		Reason   string          `json:"reason"`
		Attempts int             `json:"attempts"`
		Records  json.RawMessage `json:"records"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*d = DeadLetter{Batch: raw.Batch, Reason: raw.Reason, Attempts: raw.Attempts}
	switch id := raw.ID.(type) {
	case string:
		d.ID = id
	case float64:
		d.ID = strconv.FormatFloat(id, 'f', -1, 64)
	default:
		return fmt.Errorf("dead letter without an id")
	}
	json.Unmarshal(raw.Records, &d.Records) // a list that holds the records themselves has no count: it stays 0
	return nil
}

// DeadLetters lists dead letters behind the one with ID after (empty: from the first), at most limit.
func (c *Client) DeadLetters(ctx context.Context, after string, limit int) ([]DeadLetter, error) {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	if after != "" {
		query.Set("after", after)
	}
	var list struct {
		Dead []DeadLetter `json:"dead"`
	}
	err := c.get(ctx, "/v1/dead?"+query.Encode(), &list)
	return list.Dead, err
}

// DeadRecords returns the records of a dead letter.
func (c *Client) DeadRecords(ctx context.Context, id string) ([]sluice.Record, error) {
	var letter struct {
		Records []sluice.Record `json:"records"`
	}
	err := c.get(ctx, "/v1/dead/"+url.PathEscape(id), &letter)
	return letter.Records, err
}
