// How much is kept, over time. Whoever sends traces chooses their ids, and how long it takes, and so what the share and `slow`
// keep: without a bound they would fill the disk.
package main

import (
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

const (
	// What was not used may be used within so long: a busy hour is no attack.
	budgetFor = time.Hour
	// Bytes that count as one span, so that a few large ones are no way around.
	budgetBytes = 1024
)

// budget is a bucket that fills by `rate` a second. Its last parts are for what is wanted most.
type budget struct {
	rate, most, left float64
	since            time.Time
}

func newBudget(rate float64, now time.Time) *budget {
	most := rate * budgetFor.Seconds()
	return &budget{rate: rate, most: most, left: most, since: now}
}

// take tells whether there is room, and uses it. `spared` is the part that is left to others, 0 to 1.
func (it *budget) take(weight, spared float64, now time.Time) bool {
	if it.rate <= 0 {
		return true
	}
	it.left = min(it.most, it.left+it.rate*max(0, now.Sub(it.since).Seconds()))
	it.since = now
	if it.left <= spared*it.most {
		return false
	}
	it.left -= weight
	return true
}

// weight is how many spans it counts as.
func weight(traces ptrace.Traces) float64 {
	sizer := &ptrace.ProtoMarshaler{}
	return max(float64(traces.SpanCount()), float64(sizer.TracesSize(traces))/budgetBytes)
}
