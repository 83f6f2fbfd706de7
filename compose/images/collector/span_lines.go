// The store's own form: a JSON line for each span, as VictoriaLogs takes lines. The first span of a trace also says what the
// whole of it is like, so that a list of traces needs one line of each.
package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// A line of more than 256 KB is refused by the store; what applications tell of one span is cut long before.
const mostText = 16 << 10

type spanLinesConfig struct {
	Endpoint string                                                   `mapstructure:"endpoint"`
	Queue    configoptional.Optional[exporterhelper.QueueBatchConfig] `mapstructure:"sending_queue"`
	Retry    configretry.BackOffConfig                                `mapstructure:"retry_on_failure"`
}

type spanLine struct {
	Time       string `json:"_time"`
	Name       string `json:"_msg"`
	Trace      string `json:"trace_id"`
	Span       string `json:"span_id"`
	Parent     string `json:"parent_id,omitempty"`
	Kind       string `json:"kind"`
	Service    string `json:"service"`
	Host       string `json:"host,omitempty"`
	Release    string `json:"release,omitempty"`
	Pool       string `json:"pool,omitempty"`
	Replica    string `json:"replica,omitempty"`
	RequestID  string `json:"request_id,omitempty"`
	DurationMS string `json:"duration_ms"`
	StartNS    string `json:"start_ns"`
	Status     string `json:"status"`
	Message    string `json:"status_message,omitempty"`
	Attributes string `json:"attributes,omitempty"`
	Events     string `json:"events,omitempty"`

	// On the first span of a trace alone.
	Root          string `json:"root,omitempty"`
	TraceMS       string `json:"trace_ms,omitempty"`
	TraceSpans    string `json:"trace_spans,omitempty"`
	TraceStatus   string `json:"trace_status,omitempty"`
	TraceServices string `json:"trace_services,omitempty"`
}

func newSpanLinesFactory() exporter.Factory {
	return exporter.NewFactory(component.MustNewType("span_lines"),
		func() component.Config {
			return &spanLinesConfig{
				Queue: configoptional.Some(exporterhelper.NewDefaultQueueConfig()),
				Retry: configretry.NewDefaultBackOffConfig(),
			}
		},
		exporter.WithTraces(func(ctx context.Context, set exporter.Settings, config component.Config) (exporter.Traces, error) {
			own := config.(*spanLinesConfig)
			address := own.Endpoint + "?_stream_fields=host&_msg_field=_msg&_time_field=_time"
			client := &http.Client{Timeout: 30 * time.Second}
			push := func(ctx context.Context, traces ptrace.Traces) error {
				return sendLines(ctx, client, address, traces)
			}
			return exporterhelper.NewTraces(ctx, set, config, push, exporterhelper.WithQueue(own.Queue),
				exporterhelper.WithRetry(own.Retry), exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{}))
		}, component.StabilityLevelStable))
}

func sendLines(ctx context.Context, client *http.Client, address string, traces ptrace.Traces) error {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	for _, line := range spanLines(traces) {
		if err := encoder.Encode(line); err != nil {
			return consumererror.NewPermanent(err)
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, &body)
	if err != nil {
		return consumererror.NewPermanent(err)
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 500))
	switch {
	case answer.StatusCode < 300:
		return nil
	case answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("the store answers %d: %s", answer.StatusCode, said)
	default:
		return consumererror.NewPermanent(fmt.Errorf("the store answers %d: %s", answer.StatusCode, said))
	}
}

// spanLines also sums up each trace; what is known of its parts was together when it was judged.
func spanLines(traces ptrace.Traces) []*spanLine {
	var lines []*spanLine
	wholes := map[pcommon.TraceID]*whole{}
	eachSpan(traces, func(resource pcommon.Resource, span ptrace.Span) {
		line := lineOf(resource, span)
		lines = append(lines, line)
		if _, late := resource.Attributes().Get(lateAttribute); late {
			return
		}
		it := wholes[span.TraceID()]
		if it == nil {
			it = &whole{status: "ok", began: span.StartTimestamp(), spans: map[string]bool{}}
			wholes[span.TraceID()] = it
		}
		it.add(line, span)
	})
	for _, it := range wholes {
		it.tell()
	}
	return lines
}

type whole struct {
	lines        []*spanLine
	began, ended pcommon.Timestamp
	status       string
	requestID    string
	services     []string
	spans        map[string]bool
}

func (it *whole) add(line *spanLine, span ptrace.Span) {
	it.lines = append(it.lines, line)
	it.spans[line.Span] = true
	it.began = min(it.began, span.StartTimestamp())
	it.ended = max(it.ended, span.EndTimestamp())
	if line.Status == "error" {
		it.status = "error"
	}
	if it.requestID == "" {
		it.requestID = line.RequestID
	}
	if !slices.Contains(it.services, line.Service) {
		it.services = append(it.services, line.Service)
	}
}

// tell makes the earliest span whose parent is not here the one that stands for the trace.
func (it *whole) tell() {
	var first *spanLine
	for _, line := range it.lines {
		if it.spans[line.Parent] {
			continue
		}
		if first == nil || len(line.StartNS) < len(first.StartNS) || len(line.StartNS) == len(first.StartNS) && line.StartNS < first.StartNS {
			first = line
		}
	}
	if first == nil {
		first = it.lines[0]
	}
	slices.Sort(it.services)
	first.Root = "true"
	first.TraceMS = milliseconds(it.began, it.ended)
	first.TraceSpans = strconv.Itoa(len(it.lines))
	first.TraceStatus = it.status
	first.TraceServices = strings.Join(it.services, " ")
	if first.RequestID == "" {
		first.RequestID = it.requestID
	}
}

func lineOf(resource pcommon.Resource, span ptrace.Span) *spanLine {
	trace, own, parent := span.TraceID(), span.SpanID(), span.ParentSpanID()
	line := &spanLine{
		Time:       span.StartTimestamp().AsTime().UTC().Format(time.RFC3339Nano),
		Name:       cut(span.Name()),
		Trace:      hex.EncodeToString(trace[:]),
		Span:       hex.EncodeToString(own[:]),
		Kind:       strings.ToLower(span.Kind().String()),
		Service:    text(resource.Attributes(), "service.name"),
		Host:       text(resource.Attributes(), "host.name"),
		Release:    text(resource.Attributes(), "service.version"),
		Pool:       text(resource.Attributes(), "slipway.pool"),
		Replica:    text(resource.Attributes(), "service.instance.id"),
		RequestID:  text(span.Attributes(), "request_id"),
		DurationMS: milliseconds(span.StartTimestamp(), span.EndTimestamp()),
		StartNS:    strconv.FormatUint(uint64(span.StartTimestamp()), 10),
		Status:     strings.ToLower(span.Status().Code().String()),
		Message:    cut(span.Status().Message()),
		Attributes: asJSON(span.Attributes()),
	}
	if line.Service == "" {
		line.Service = "unknown"
	}
	if line.Name == "" {
		line.Name = "unnamed"
	}
	if !parent.IsEmpty() {
		line.Parent = hex.EncodeToString(parent[:])
	}
	line.Events = eventsOf(span)
	return line
}

func eventsOf(span ptrace.Span) string {
	if span.Events().Len() == 0 {
		return ""
	}
	var events []map[string]any
	for _, event := range span.Events().All() {
		events = append(events, map[string]any{
			"ms":         milliseconds(span.StartTimestamp(), event.Timestamp()),
			"name":       cut(event.Name()),
			"attributes": short(event.Attributes()),
		})
	}
	told, err := json.Marshal(events)
	if err != nil || len(told) > 4*mostText {
		return fmt.Sprintf(`[{"name":"%d events, too long to be kept"}]`, len(events))
	}
	return string(told)
}

func asJSON(attributes pcommon.Map) string {
	if attributes.Len() == 0 {
		return ""
	}
	told, err := json.Marshal(short(attributes))
	if err != nil || len(told) > 4*mostText {
		return fmt.Sprintf(`{"slipway.cut":"%d attributes, too long to be kept"}`, attributes.Len())
	}
	return string(told)
}

func short(attributes pcommon.Map) map[string]any {
	plain := attributes.AsRaw()
	for name, value := range plain {
		if words, ok := value.(string); ok {
			plain[name] = cut(words)
		}
	}
	return plain
}

func text(attributes pcommon.Map, name string) string {
	value, known := attributes.Get(name)
	if !known {
		return ""
	}
	return cut(value.AsString())
}

func cut(words string) string { return cutTo(words, mostText) }

func cutTo(words string, most int) string {
	if len(words) <= most {
		return words
	}
	return strings.ToValidUTF8(words[:most], "") + " …"
}

func milliseconds(from, to pcommon.Timestamp) string {
	return strconv.FormatFloat(float64(int64(to)-int64(from))/1e6, 'f', 3, 64)
}
