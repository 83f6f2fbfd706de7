// Which traces are kept. A trace's spans come from many hosts; they are held for a while and then judged as a whole: one with an
// error or a slow one is kept, of the others a share by trace id; all that as long as it is within a budget.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
)

const (
	// On the resource of spans that came when their trace had been judged: they are no trace of their own.
	lateAttribute = "slipway.late"
	// Verdicts that are remembered for such spans, some 40 bytes each.
	mostVerdicts = 200_000
	lookEvery    = 200 * time.Millisecond

	// Of the budget: a slow client makes its own traces slow, and anybody may choose an id that is in the share.
	// Neither may take what traces with errors need.
	sparedByShare = 0.25
	sparedBySlow  = 0.5
)

type wholeTracesConfig struct {
	// Share of the traces without errors that is kept, 0 to 1.
	Share float64 `mapstructure:"share"`
	// Traces with a span that took longer are kept.
	Slow time.Duration `mapstructure:"slow"`
	// How long after its first span a trace is judged.
	Wait time.Duration `mapstructure:"wait"`
	// Spans that may be held; above it the oldest traces are judged early.
	MostSpans int `mapstructure:"most_spans"`
	// Spans a second that are kept, over an hour; 0: any number.
	MostKept float64 `mapstructure:"most_kept"`
}

func (it *wholeTracesConfig) Validate() error {
	if it.Share < 0 || it.Share > 1 {
		return fmt.Errorf("share is %v: use a number from 0 to 1", it.Share)
	}
	if it.Wait <= 0 || it.MostSpans <= 0 {
		return errors.New("wait and most_spans must be above 0")
	}
	if it.MostKept < 0 {
		return errors.New("most_kept must not be below 0")
	}
	return nil
}

func newWholeTracesFactory() processor.Factory {
	return processor.NewFactory(component.MustNewType("whole_traces"),
		func() component.Config {
			return &wholeTracesConfig{Share: 1, Slow: time.Second, Wait: 5 * time.Second, MostSpans: 50_000}
		},
		processor.WithTraces(func(_ context.Context, set processor.Settings, config component.Config, next consumer.Traces) (processor.Traces, error) {
			judged, err := set.MeterProvider.Meter("slipway").Int64Counter("slipway_traces_judged",
				metric.WithDescription("Traces, by why they were kept, or that they were not."))
			return newWholeTraces(config.(*wholeTracesConfig), next, judged, set.Logger), err
		}, component.StabilityLevelStable))
}

type heldTrace struct {
	id     pcommon.TraceID
	since  time.Time
	traces ptrace.Traces
	spans  int
	failed bool
	slow   bool
}

type wholeTraces struct {
	config *wholeTracesConfig
	next   consumer.Traces
	judged metric.Int64Counter
	log    *zap.Logger
	stop   chan struct{}
	done   chan struct{}

	mutex sync.Mutex
	held  map[pcommon.TraceID]*heldTrace
	// The same, the oldest first.
	queue    []*heldTrace
	spans    int
	verdicts map[pcommon.TraceID]bool
	// The same, a ring: the oldest verdict makes room for the newest.
	recent []pcommon.TraceID
	place  int
	budget *budget
}

func newWholeTraces(config *wholeTracesConfig, next consumer.Traces, judged metric.Int64Counter, log *zap.Logger) *wholeTraces {
	return &wholeTraces{
		config: config, next: next, judged: judged, log: log, stop: make(chan struct{}), done: make(chan struct{}),
		held: map[pcommon.TraceID]*heldTrace{}, verdicts: map[pcommon.TraceID]bool{},
		budget: newBudget(config.MostKept, time.Now()),
	}
}

func (it *wholeTraces) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: true}
}

func (it *wholeTraces) Start(context.Context, component.Host) error {
	go func() {
		defer close(it.done)
		ticks := time.NewTicker(lookEvery)
		defer ticks.Stop()
		for {
			select {
			case now := <-ticks.C:
				it.judge(now.Add(-it.config.Wait), it.config.MostSpans)
			case <-it.stop:
				// What is held is judged by what there is.
				it.judge(time.Now().Add(time.Hour), 0)
				return
			}
		}
	}()
	return nil
}

func (it *wholeTraces) Shutdown(context.Context) error {
	select {
	case <-it.stop:
	default:
		close(it.stop)
		<-it.done
	}
	return nil
}

func (it *wholeTraces) ConsumeTraces(_ context.Context, traces ptrace.Traces) error {
	now := time.Now()
	var late []ptrace.Traces
	it.mutex.Lock()
	for id, part := range byTrace(traces) {
		if keep, judged := it.verdicts[id]; judged {
			if keep {
				// Anybody may go on with a trace that was kept.
				if it.budget.take(weight(part), sparedByShare, now) {
					late = append(late, markLate(part))
				} else {
					it.count("over")
				}
				continue
			}
			// What fails later is wanted, however harmless what came under the same id before.
			if failed, slow := it.stands(part); !failed && !slow {
				continue
			}
		}
		it.hold(id, part, now)
	}
	over := it.spans > it.config.MostSpans
	it.mutex.Unlock()
	if over {
		it.judge(now.Add(-it.config.Wait), it.config.MostSpans)
	}
	it.send(late)
	return nil
}

func (it *wholeTraces) hold(id pcommon.TraceID, part ptrace.Traces, now time.Time) {
	one := it.held[id]
	if one == nil {
		one = &heldTrace{id: id, since: now, traces: ptrace.NewTraces()}
		it.held[id] = one
		it.queue = append(it.queue, one)
	}
	failed, slow := it.stands(part)
	one.failed = one.failed || failed
	one.slow = one.slow || slow
	count := part.SpanCount()
	one.spans += count
	it.spans += count
	part.ResourceSpans().MoveAndAppendTo(one.traces.ResourceSpans())
}

// stands tells whether anything of it failed, or was slow.
func (it *wholeTraces) stands(part ptrace.Traces) (failed, slow bool) {
	eachSpan(part, func(_ pcommon.Resource, span ptrace.Span) {
		failed = failed || span.Status().Code() == ptrace.StatusCodeError
		slow = slow || it.config.Slow > 0 && took(span) > it.config.Slow
	})
	return failed, slow
}

// judge decides on all traces that came before `before`, and on the oldest as long as more than `most` spans are held.
func (it *wholeTraces) judge(before time.Time, most int) {
	var kept []ptrace.Traces
	now := time.Now()
	it.mutex.Lock()
	for len(it.queue) > 0 && (it.queue[0].since.Before(before) || it.spans > most) {
		one := it.queue[0]
		it.queue[0] = nil
		it.queue = it.queue[1:]
		delete(it.held, one.id)
		it.spans -= one.spans
		reason, keep := it.verdict(one, now)
		it.count(reason)
		it.remember(one.id, keep)
		if keep {
			kept = append(kept, one.traces)
		}
	}
	it.mutex.Unlock()
	it.send(kept)
}

// verdict tells whether a trace is kept, and why or why not.
func (it *wholeTraces) verdict(one *heldTrace, now time.Time) (reason string, keep bool) {
	spared := 0.0
	switch {
	case one.failed:
		reason = "error"
	case sampled(one.id, it.config.Share):
		reason, spared = "share", sparedByShare
	case one.slow:
		reason, spared = "slow", sparedBySlow
	default:
		return "left_out", false
	}
	if !it.budget.take(weight(one.traces), spared, now) {
		return "over", false
	}
	return reason, true
}

func (it *wholeTraces) count(reason string) {
	it.judged.Add(context.Background(), 1, metric.WithAttributes(attribute.String("reason", reason)))
}

func (it *wholeTraces) remember(id pcommon.TraceID, keep bool) {
	if len(it.recent) < mostVerdicts {
		it.recent = append(it.recent, id)
	} else {
		delete(it.verdicts, it.recent[it.place])
		it.recent[it.place] = id
		it.place = (it.place + 1) % mostVerdicts
	}
	it.verdicts[id] = keep
}

func (it *wholeTraces) send(them []ptrace.Traces) {
	for _, one := range them {
		if err := it.next.ConsumeTraces(context.Background(), one); err != nil {
			// Nobody waits for an answer any more; the exporter's own metrics count what it had no room for.
			it.log.Debug("a trace was refused", zap.Error(err))
		}
	}
}

// sampled goes by the random part of the id, as W3C Trace Context has it, so that all who sample choose the same traces.
func sampled(id pcommon.TraceID, share float64) bool {
	const bits = 56
	random := binary.BigEndian.Uint64(id[8:]) & (1<<bits - 1)
	return float64(random) < share*float64(uint64(1)<<bits)
}

func took(span ptrace.Span) time.Duration {
	return span.EndTimestamp().AsTime().Sub(span.StartTimestamp().AsTime())
}

func markLate(traces ptrace.Traces) ptrace.Traces {
	for index := range traces.ResourceSpans().Len() {
		traces.ResourceSpans().At(index).Resource().Attributes().PutBool(lateAttribute, true)
	}
	return traces
}

func eachSpan(traces ptrace.Traces, do func(pcommon.Resource, ptrace.Span)) {
	for _, resource := range traces.ResourceSpans().All() {
		for _, scope := range resource.ScopeSpans().All() {
			for _, span := range scope.Spans().All() {
				do(resource.Resource(), span)
			}
		}
	}
}

// byTrace takes a batch apart: each trace with its own copy of resources and scopes.
func byTrace(traces ptrace.Traces) map[pcommon.TraceID]ptrace.Traces {
	parts := map[pcommon.TraceID]ptrace.Traces{}
	for _, resource := range traces.ResourceSpans().All() {
		for _, scope := range resource.ScopeSpans().All() {
			places := map[pcommon.TraceID]ptrace.SpanSlice{}
			for _, span := range scope.Spans().All() {
				id := span.TraceID()
				place, known := places[id]
				if !known {
					part, begun := parts[id]
					if !begun {
						part = ptrace.NewTraces()
						parts[id] = part
					}
					own := part.ResourceSpans().AppendEmpty()
					resource.Resource().CopyTo(own.Resource())
					own.SetSchemaUrl(resource.SchemaUrl())
					inner := own.ScopeSpans().AppendEmpty()
					scope.Scope().CopyTo(inner.Scope())
					inner.SetSchemaUrl(scope.SchemaUrl())
					place = inner.Spans()
					places[id] = place
				}
				span.MoveTo(place.AppendEmpty())
			}
		}
	}
	return parts
}
