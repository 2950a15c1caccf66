package autoscale

// Calm is about changes of direction. Within sloReversal of an up, a down is a reversal, and so is the up that follows it.
const sloReversal = 300.0 // seconds, as the simulation counts

// sloCalm remembers the last change and, with a cap, how many changes of direction the pool has left.
type sloCalm struct {
	up      bool    // whether the last change was up
	changed float64 // when it was
	acted   bool    // whether there was one
	left    float64 // changes of direction left
	counted float64 // until when the refill of those is counted
}

// change notes a change of the size by so many workers.
func (m *sloCalm) change(now float64, by int) {
	if by == 0 {
		return
	}
	if up := by > 0; m.acted && up != m.up && now-m.changed <= sloReversal {
		m.left--
	}
	m.up, m.changed, m.acted = by > 0, now, true
}

// mayShrink tells whether a down is no reversal, or one that the cap leaves room for, with the up that will follow it.
// Deadlines ask no cap, so it is the down that is saved for both.
func (m *sloCalm) mayShrink(now, perHour float64) bool {
	if perHour <= 0 {
		return true
	}
	// What was not used is kept, but not for a crowd: a sixth of an hour's worth, and a down with its up at least.
	m.left = min(m.left+perHour/3600*(now-m.counted), max(2, perHour/6))
	m.counted = now
	return !m.acted || !m.up || now-m.changed > sloReversal || m.left >= 2
}
