// The edge's spans. nginx writes each request to a datagram socket, which never makes it wait; this makes spans of them.
package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/zap"
)

const (
	// A datagram of nginx is 4 KiB at most, one of anybody else is nobody's.
	mostDatagram = 16 << 10
	mostTogether = 200
	// Bytes of a path: a client chooses them, and pays nothing for their being kept.
	mostPath    = 512
	togetherFor  = time.Second
)

type edgeConfig struct {
	Socket string `mapstructure:"socket"`
	Host   string `mapstructure:"host"`
}

// What compose/config/edge/traces.conf.j2 writes.
type edgeRequest struct {
	Trace     string  `json:"trace"`
	Span      string  `json:"span"`
	Parent    string  `json:"parent"`
	RequestID string  `json:"request_id"`
	Ended     float64 `json:"ended,string"`
	Duration  float64 `json:"duration,string"`
	Method    string  `json:"method"`
	Host      string  `json:"host"`
	Path      string  `json:"path"`
	Status    int64   `json:"status,string"`
	Service   string  `json:"service"`
	Pool      string  `json:"pool"`
	Replica   string  `json:"replica"`
}

func newEdgeFactory() receiver.Factory {
	return receiver.NewFactory(component.MustNewType("edge"),
		func() component.Config { return &edgeConfig{} },
		receiver.WithTraces(func(_ context.Context, set receiver.Settings, config component.Config, next consumer.Traces) (receiver.Traces, error) {
			return &edgeReceiver{config: config.(*edgeConfig), log: set.Logger, next: next}, nil
		}, component.StabilityLevelStable))
}

type edgeReceiver struct {
	config *edgeConfig
	log    *zap.Logger
	next   consumer.Traces
	socket *net.UnixConn
	done   chan struct{}
}

func (it *edgeReceiver) Start(context.Context, component.Host) error {
	// An earlier run has left its socket, and nobody else may listen where it is.
	if err := os.Remove(it.config.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: it.config.Socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	it.socket, it.done = socket, make(chan struct{})
	go it.read()
	return nil
}

func (it *edgeReceiver) Shutdown(context.Context) error {
	if it.socket == nil {
		return nil
	}
	err := it.socket.Close()
	<-it.done
	return err
}

func (it *edgeReceiver) read() {
	defer close(it.done)
	buffer := make([]byte, mostDatagram)
	traces, spans := it.empty()
	flush := func() {
		if spans.Len() == 0 {
			return
		}
		if err := it.next.ConsumeTraces(context.Background(), traces); err != nil {
			it.log.Warn("spans of the edge were refused", zap.Error(err))
		}
		traces, spans = it.empty()
	}
	for {
		_ = it.socket.SetReadDeadline(time.Now().Add(togetherFor))
		size, err := it.socket.Read(buffer)
		switch {
		case err == nil:
			addRequest(spans, buffer[:size])
			if spans.Len() >= mostTogether {
				flush()
			}
		case errors.Is(err, os.ErrDeadlineExceeded):
			flush()
		default:
			flush()
			return
		}
	}
}

func (it *edgeReceiver) empty() (ptrace.Traces, ptrace.SpanSlice) {
	traces := ptrace.NewTraces()
	resource := traces.ResourceSpans().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "edge")
	resource.Resource().Attributes().PutStr("host.name", it.config.Host)
	return traces, resource.ScopeSpans().AppendEmpty().Spans()
}

// addRequest adds one datagram's span; what is none of nginx's is nobody's.
func addRequest(spans ptrace.SpanSlice, datagram []byte) {
	begin := bytes.IndexByte(datagram, '{')
	var request edgeRequest
	if begin < 0 || json.Unmarshal(datagram[begin:], &request) != nil {
		return
	}
	var trace pcommon.TraceID
	var own, parent pcommon.SpanID
	if !fromHex(trace[:], request.Trace) || !fromHex(own[:], request.Span) {
		return
	}
	span := spans.AppendEmpty()
	span.SetTraceID(trace)
	span.SetSpanID(own)
	if fromHex(parent[:], request.Parent) {
		span.SetParentSpanID(parent)
	}
	ended := time.UnixMilli(int64(request.Ended*1000 + 0.5))
	span.SetEndTimestamp(pcommon.NewTimestampFromTime(ended))
	span.SetStartTimestamp(pcommon.NewTimestampFromTime(ended.Add(-time.Duration(request.Duration * float64(time.Second)))))
	span.SetKind(ptrace.SpanKindServer)
	span.SetName(strings.TrimSpace(request.Method + " " + request.Service))
	attributes := span.Attributes()
	for name, value := range map[string]string{
		"request_id":          request.RequestID,
		"http.request.method": request.Method,
		"server.address":      request.Host,
		"url.path":            cutTo(request.Path, mostPath),
		"slipway.service":     request.Service,
		"slipway.pool":        request.Pool,
		"slipway.replica":     request.Replica,
	} {
		if value != "" {
			attributes.PutStr(name, value)
		}
	}
	attributes.PutInt("http.response.status_code", request.Status)
	if request.Status >= 500 {
		span.Status().SetCode(ptrace.StatusCodeError)
	}
}

func fromHex(into []byte, text string) bool {
	if len(text) != 2*len(into) {
		return false
	}
	_, err := hex.Decode(into, []byte(text))
	return err == nil
}
