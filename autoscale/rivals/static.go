package rivals

import (
	"fmt"

	"github.com/sluicehq/sluice/autoscale"
)

// StaticOptions says how large the pool is.
type StaticOptions struct {
	Size int // workers; zero means as many as the pool may have
}

func (o *StaticOptions) fields() []field { return []field{{"size", &o.Size}} }

// Static is the pool that somebody sized once.
type Static struct{ o StaticOptions }

// NewStatic returns an error for a size below zero.
func NewStatic(o StaticOptions) (*Static, error) {
	p := problems{policy: "static"}
	p.wantIf(o.Size < 0, "Size", o.Size, "0 or more")
	return &Static{o}, p.err()
}

// Name is "static".
func (*Static) Name() string { return "static" }

// Decide names the size that was set.
func (s *Static) Decide(o autoscale.Observation) autoscale.Proposal {
	size := s.o.Size
	switch {
	case o.Unknown != "":
		return unknown(o)
	case size == 0 && o.MaxSize == 0:
		return hold(o, "always as it is")
	case size == 0:
		size = o.MaxSize
	}
	return autoscale.Proposal{Size: size, Reason: fmt.Sprintf("always %d", size)}
}
