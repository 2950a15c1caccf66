package history

// ring keeps the newest of what is added, at most so many.
type ring[T any] struct {
	most  int
	items []T // the oldest at next once it is full
	next  int
}

func (r *ring[T]) add(v T) {
	if len(r.items) < r.most {
		r.items = append(r.items, v)
		return
	}
	r.items[r.next] = v
	r.next = (r.next + 1) % r.most
}

func (r *ring[T]) len() int { return len(r.items) }

// at is the i-th, the oldest being 0.
func (r *ring[T]) at(i int) T { return r.items[(r.next+i)%len(r.items)] }

// cut keeps the oldest n.
func (r *ring[T]) cut(n int) {
	left := make([]T, n)
	for i := range left {
		left[i] = r.at(i)
	}
	r.items, r.next = left, 0
}
