package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/zap"
)

type made struct {
	trace, span, parent byte
	from, to            time.Duration
	failed              bool
	attributes          map[string]string
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func batch(service string, spans ...made) ptrace.Traces {
	traces := ptrace.NewTraces()
	resource := traces.ResourceSpans().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", service)
	scope := resource.ScopeSpans().AppendEmpty()
	for _, it := range spans {
		span := scope.Spans().AppendEmpty()
		span.SetName("span")
		span.SetTraceID(id(it.trace))
		span.SetSpanID(pcommon.SpanID{7: it.span})
		span.SetParentSpanID(pcommon.SpanID{7: it.parent})
		span.SetStartTimestamp(pcommon.NewTimestampFromTime(epoch.Add(it.from)))
		span.SetEndTimestamp(pcommon.NewTimestampFromTime(epoch.Add(it.to)))
		for name, value := range it.attributes {
			span.Attributes().PutStr(name, value)
		}
		if it.failed {
			span.Status().SetCode(ptrace.StatusCodeError)
		}
	}
	return traces
}

// The second byte from the left of the random part is the trace's own number, so a share is easy to tell.
func id(number byte) pcommon.TraceID { return pcommon.TraceID{0: 1, 9: number, 15: number} }

type kept struct {
	spans map[pcommon.TraceID]int
	late  int
}

func judging(t *testing.T, config wholeTracesConfig) (*wholeTraces, *kept) {
	t.Helper()
	found := &kept{spans: map[pcommon.TraceID]int{}}
	next, err := consumer.NewTraces(func(_ context.Context, traces ptrace.Traces) error {
		eachSpan(traces, func(resource pcommon.Resource, span ptrace.Span) {
			found.spans[span.TraceID()]++
			if _, late := resource.Attributes().Get(lateAttribute); late {
				found.late++
			}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	counter, _ := noop.NewMeterProvider().Meter("").Int64Counter("")
	return newWholeTraces(&config, next, counter, zap.NewNop()), found
}

func take(t *testing.T, it *wholeTraces, batches ...ptrace.Traces) {
	t.Helper()
	for _, one := range batches {
		if err := it.ConsumeTraces(context.Background(), one); err != nil {
			t.Fatal(err)
		}
	}
}

func everything() time.Time { return time.Now().Add(time.Hour) }

func TestATraceWithAnErrorIsKeptWholeWhereNoneIsKeptOtherwise(t *testing.T) {
	it, found := judging(t, wholeTracesConfig{Share: 0, Wait: time.Minute, MostSpans: 100})
	take(t, it, batch("edge", made{trace: 1, span: 1}, made{trace: 2, span: 1}), batch("api", made{trace: 1, span: 2, failed: true}))
	it.judge(everything(), 100)
	if found.spans[id(1)] != 2 || len(found.spans) != 1 {
		t.Fatal(found.spans)
	}
}

func TestASlowTraceIsKept(t *testing.T) {
	it, found := judging(t, wholeTracesConfig{Share: 0, Slow: time.Second, Wait: time.Minute, MostSpans: 100})
	take(t, it, batch("api", made{trace: 1, span: 1, to: time.Second}, made{trace: 2, span: 1, to: time.Second + 1}))
	it.judge(everything(), 100)
	if found.spans[id(2)] != 1 || len(found.spans) != 1 {
		t.Fatal(found.spans)
	}
}

func TestAShareIsKeptByTheRandomPartOfTheId(t *testing.T) {
	it, found := judging(t, wholeTracesConfig{Share: 0.25, Wait: time.Minute, MostSpans: 1000})
	for number := range 256 {
		take(t, it, batch("api", made{trace: byte(number), span: 1}))
	}
	it.judge(everything(), 1000)
	if len(found.spans) != 64 {
		t.Fatal(len(found.spans))
	}
}

func TestNothingIsJudgedBeforeItsTime(t *testing.T) {
	it, found := judging(t, wholeTracesConfig{Share: 1, Wait: time.Minute, MostSpans: 100})
	take(t, it, batch("api", made{trace: 1, span: 1}))
	it.judge(time.Now().Add(-time.Minute), 100)
	if len(found.spans) != 0 {
		t.Fatal(found.spans)
	}
}

func TestWhatComesLateGoesWhereItsTraceWent(t *testing.T) {
	it, found := judging(t, wholeTracesConfig{Share: 0, Wait: time.Minute, MostSpans: 100})
	take(t, it, batch("api", made{trace: 1, span: 1, failed: true}, made{trace: 2, span: 1}))
	it.judge(everything(), 100)
	take(t, it, batch("edge", made{trace: 1, span: 2}, made{trace: 2, span: 2}))
	if found.spans[id(1)] != 2 || found.late != 1 || len(found.spans) != 1 {
		t.Fatal(found)
	}
}

func TestWhatFailsLaterIsKeptUnderAnIdThatWasLeftOut(t *testing.T) {
	it, found := judging(t, wholeTracesConfig{Share: 0, Wait: time.Minute, MostSpans: 100})
	take(t, it, batch("edge", made{trace: 1, span: 1}))
	it.judge(everything(), 100)
	take(t, it, batch("edge", made{trace: 1, span: 2, failed: true}))
	it.judge(everything(), 100)
	if found.spans[id(1)] != 1 || found.late != 0 {
		t.Fatal(found)
	}
}

func TestAPathIsNotKeptWhateverItsLength(t *testing.T) {
	spans := ptrace.NewSpanSlice()
	addRequest(spans, []byte(`<190>Nov 28 03:00:00 edge: {"trace":"0102030405060708090a0b0c0d0e0f10","span":"0000000000000001",`+
		`"ended":"1767323045.250","duration":"0.250","method":"GET","path":"/`+strings.Repeat("x", 8000)+`","status":"200"}`))
	path, _ := spans.At(0).Attributes().Get("url.path")
	if len(path.Str()) > mostPath+len(" …") {
		t.Fatal(len(path.Str()))
	}
}

func TestWithoutRoomTheOldestAreJudgedEarly(t *testing.T) {
	it, found := judging(t, wholeTracesConfig{Share: 1, Wait: time.Hour, MostSpans: 2})
	take(t, it, batch("a", made{trace: 1, span: 1}), batch("a", made{trace: 2, span: 1}), batch("a", made{trace: 3, span: 1}))
	if found.spans[id(1)] != 1 || len(found.spans) != 1 || it.spans != 2 {
		t.Fatal(found.spans, it.spans)
	}
}

// With a budget of eight spans that does not grow.
func judgingWithin(t *testing.T, share float64) (*wholeTraces, *kept) {
	it, found := judging(t, wholeTracesConfig{Share: share, Slow: time.Second, Wait: time.Minute, MostSpans: 1000})
	it.budget = &budget{rate: 1e-20, most: 8, left: 8, since: time.Now()}
	return it, found
}

func TestSlowOnesAndTheShareLeaveRoomForErrors(t *testing.T) {
	it, found := judgingWithin(t, 0)
	for number := range 20 {
		take(t, it, batch("api", made{trace: byte(number), span: 1, to: time.Minute}))
	}
	it.judge(everything(), 1000)
	if len(found.spans) != 4 {
		t.Fatal("slow ones:", found.spans)
	}
	it.config.Share = 1
	for number := range 20 {
		take(t, it, batch("api", made{trace: byte(50 + number), span: 1}))
	}
	it.judge(everything(), 1000)
	if len(found.spans) != 6 {
		t.Fatal("and the share:", found.spans)
	}
	for number := range 20 {
		take(t, it, batch("api", made{trace: byte(100 + number), span: 1, failed: true}))
	}
	it.judge(everything(), 1000)
	if len(found.spans) != 8 {
		t.Fatal("and errors:", found.spans)
	}
}

func TestGoingOnWithATraceThatWasKeptIsWithinTheBudget(t *testing.T) {
	it, found := judgingWithin(t, 1)
	take(t, it, batch("api", made{trace: 1, span: 1}))
	it.judge(everything(), 1000)
	for range 20 {
		take(t, it, batch("api", made{trace: 1, span: 2}))
	}
	if found.spans[id(1)] != 6 {
		t.Fatal(found.spans)
	}
}

func TestALargeSpanCountsAsMany(t *testing.T) {
	large := batch("api", made{trace: 1, span: 1, attributes: map[string]string{"a": strings.Repeat("x", 10*budgetBytes)}})
	if it := weight(large); it < 10 || it > 11 {
		t.Fatal(it)
	}
	if it := weight(batch("api", made{trace: 1, span: 1}, made{trace: 1, span: 2})); it != 2 {
		t.Fatal(it)
	}
}

func TestABudgetFillsAgainUpToAnHoursWorth(t *testing.T) {
	it := newBudget(2, epoch)
	if !it.take(7200, 0, epoch) || it.take(1, 0, epoch) {
		t.Fatal(it.left)
	}
	if !it.take(1, 0, epoch.Add(time.Second)) || it.left != 1 {
		t.Fatal(it.left)
	}
	it.take(0, 0, epoch.Add(48*time.Hour))
	if it.left != 7200 {
		t.Fatal(it.left)
	}
}

func TestWithoutABoundEverythingIsKept(t *testing.T) {
	it := newBudget(0, epoch)
	for range 10 {
		if !it.take(1e9, 0.5, epoch) {
			t.Fatal(it.left)
		}
	}
}

func TestOnlySoManyVerdictsAreRemembered(t *testing.T) {
	it, _ := judging(t, wholeTracesConfig{Share: 1, Wait: time.Hour, MostSpans: 2})
	for number := range mostVerdicts + 10 {
		it.remember(pcommon.TraceID([]byte(fmt.Sprintf("%016d", number))), true)
	}
	if len(it.verdicts) != mostVerdicts || len(it.recent) != mostVerdicts {
		t.Fatal(len(it.verdicts), len(it.recent))
	}
}

func TestTheFirstSpanStandsForItsTrace(t *testing.T) {
	traces := batch("edge", made{trace: 1, span: 1, to: 5 * time.Millisecond})
	batch("api",
		made{trace: 1, span: 3, parent: 2, from: 2 * time.Millisecond, to: 4 * time.Millisecond, failed: true},
		made{trace: 1, span: 2, parent: 1, from: time.Millisecond, to: 6 * time.Millisecond, attributes: map[string]string{"request_id": "abc"}},
	).ResourceSpans().MoveAndAppendTo(traces.ResourceSpans())
	lines := spanLines(traces)
	first := lines[0]
	if first.Root != "true" || first.TraceMS != "6.000" || first.TraceSpans != "3" || first.TraceStatus != "error" ||
		first.TraceServices != "api edge" || first.RequestID != "abc" || first.Time != "2026-01-02T03:04:05Z" {
		t.Fatalf("%+v", first)
	}
	if lines[1].Root != "" || lines[2].Root != "" || lines[1].Parent != "0000000000000002" || lines[1].DurationMS != "2.000" {
		t.Fatalf("%+v %+v", lines[1], lines[2])
	}
}

func TestLateSpansAreNoTraceOfTheirOwn(t *testing.T) {
	for _, line := range spanLines(markLate(batch("api", made{trace: 1, span: 2, parent: 1}))) {
		if line.Root != "" {
			t.Fatal(line)
		}
	}
}

func TestALineIsNeverTooLongForTheStore(t *testing.T) {
	huge := string(make([]byte, 300<<10))
	attributes := map[string]string{}
	for number := range 40 {
		attributes[fmt.Sprint(number)] = huge
	}
	told, err := json.Marshal(spanLines(batch("api", made{trace: 1, span: 1, attributes: attributes}))[0])
	if err != nil || len(told) > 256<<10 {
		t.Fatal(err, len(told))
	}
}

func TestARequestOfTheEdgeIsASpan(t *testing.T) {
	spans := ptrace.NewSpanSlice()
	addRequest(spans, []byte(`<190>Nov 28 03:00:00 edge: {"trace":"0102030405060708090a0b0c0d0e0f10","span":"0000000000000001",`+
		`"parent":"","request_id":"r-1","ended":"1767323045.250","duration":"0.250","method":"POST","host":"w.test","path":"/api/x",`+
		`"status":"502","service":"api","pool":"blue","replica":"api-blue-1"}`))
	if spans.Len() != 1 {
		t.Fatal(spans.Len())
	}
	span := spans.At(0)
	request, _ := span.Attributes().Get("request_id")
	if span.Name() != "POST api" || span.Status().Code() != ptrace.StatusCodeError || took(span) != 250*time.Millisecond ||
		!span.ParentSpanID().IsEmpty() || request.Str() != "r-1" || !span.StartTimestamp().AsTime().Equal(epoch) {
		t.Fatal(span.Name(), span.Status().Code(), took(span), span.StartTimestamp().AsTime())
	}
}

func TestWhatIsNoRequestIsNoSpan(t *testing.T) {
	spans := ptrace.NewSpanSlice()
	for _, text := range []string{"", "{", `<190> {"trace":"xyz"}`, `{"trace":"01","span":"02","ended":"1","duration":"1","status":"200"}`} {
		addRequest(spans, []byte(text))
	}
	if spans.Len() != 0 {
		t.Fatal(spans.Len())
	}
}
