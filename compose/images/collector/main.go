// The OpenTelemetry Collector as Slipway runs it: a few of its core components, and three of ours.
package main

import (
	"log"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/otlphttpexporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/batchprocessor"
	"go.opentelemetry.io/collector/processor/memorylimiterprocessor"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"
)

func factories() (otelcol.Factories, error) {
	return otelcol.Factories{
		Receivers: byType[receiver.Factory](otlpreceiver.NewFactory(), newEdgeFactory()),
		Processors: byType[processor.Factory](
			memorylimiterprocessor.NewFactory(), batchprocessor.NewFactory(), newWholeTracesFactory()),
		Exporters: byType[exporter.Factory](otlphttpexporter.NewFactory(), newSpanLinesFactory()),
		Telemetry: otelconftelemetry.NewFactory(),
	}, nil
}

func byType[F component.Factory](them ...F) map[component.Type]F {
	found := map[component.Type]F{}
	for _, it := range them {
		found[it.Type()] = it
	}
	return found
}

func main() {
	command := otelcol.NewCommand(otelcol.CollectorSettings{
		BuildInfo: component.BuildInfo{Command: "collector", Description: "Slipway's OpenTelemetry Collector"},
		Factories: factories,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{
			ResolverSettings: confmap.ResolverSettings{
				URIs:              []string{"file:/config/collector.yml"},
				ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory()},
				DefaultScheme:     "file",
			},
		},
	})
	if err := command.Execute(); err != nil {
		log.Fatal(err)
	}
}
