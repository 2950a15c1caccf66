package config

import "github.com/sluicehq/sluice/internal/words"

// DidYouMean is the end of a message about an unknown name, such as `; did you mean "slo"?`. It is empty if no known name
// is near.
func DidYouMean(word string, known []string) string { return words.DidYouMean(word, known, envPrefix) }
