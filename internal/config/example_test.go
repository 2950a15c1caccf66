package config_test

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/sluicehq/sluice/internal/config"
)

func ExampleLoader() {
	loader := config.NewLoader(config.Autoscaler)
	flags := pflag.NewFlagSet("sluice", pflag.ContinueOnError)
	loader.AddFlags(flags)
	if err := flags.Parse([]string{"--preset", "production", "--cooldown", "90"}); err != nil {
		fmt.Println(err)
		return
	}

	c, err := loader.Load([]string{"SLUICE_MIN_SIZE=8"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Autoscale.MinSize, c.Autoscale.MaxSize, c.Autoscale.Cooldown)

	for _, s := range c.Settings() {
		switch s.Key {
		case "min_size", "max_size", "cooldown":
			fmt.Println(s.Key, "is", s.Value, "from", s.Source)
		}
	}

	_, err = loader.Load([]string{"SLUICE_MIN_SIZE=80"})
	fmt.Println(err)
	// Output:
	// 8 50 1m30s
	// min_size is 8 from environment SLUICE_MIN_SIZE
	// max_size is 50 from preset production
	// cooldown is 1m30s from flag --cooldown
	// min_size is 80 (environment SLUICE_MIN_SIZE), want at most max_size (50, preset production)
}
