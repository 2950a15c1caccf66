package config

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Setting is one setting with its value, for people and programs to read.
type Setting struct {
	Name    string // of the flag, without the dashes in front: min-size
	Key     string // in the YAML file: min_size; of "config", which a file can't hold, the name
	Env     string // of the variable: SLUICE_MIN_SIZE
	Group   Group
	Kind    string // bool, int, duration, size, percent or string
	Value   string // as it could be typed; a password in a URL is hidden
	Default string // what Value is when nothing is set
	Source  string // default, preset NAME, file PATH:LINE, environment NAME or flag --NAME
	Doc     string // what it means
}

// describe makes the Setting of a row.
func (s *setting) describe(c, defaults *Config, source string) Setting {
	f := s.field(c)
	return Setting{
		Name: s.name, Key: s.key(), Env: s.env(), Group: s.group, Kind: string(f.kind),
		Value: f.text(), Default: s.field(defaults).text(), Source: source, Doc: s.sentence(f),
	}
}

// sentence is the doc with the rule for values.
func (s *setting) sentence(f field) string {
	if f.rule == "" {
		return s.doc
	}
	return s.doc + " (" + f.rule + ")"
}

// MarshalJSON writes numbers and truth values as such. Durations and sizes are text, in the form in which they can be typed.
func (s Setting) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Key     string `json:"key"`
		Value   any    `json:"value"`
		Source  string `json:"source"`
		Default any    `json:"default"`
		Flag    string `json:"flag"`
		Env     string `json:"env"`
		Group   Group  `json:"group"`
		Doc     string `json:"doc"`
	}{s.Key, s.typed(s.Value), s.Source, s.typed(s.Default), "--" + s.Name, s.Env, s.Group, s.Doc})
}

// typed turns text into the JSON value that it stands for.
func (s Setting) typed(text string) any {
	switch kind(s.Kind) {
	case isBool:
		return text == "true"
	case isWhole:
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
	}
	return text
}

// Print writes a table of settings: key, value, and where the value came from.
func Print(w io.Writer, settings []Setting) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "setting\tvalue\tfrom")
	for _, s := range settings {
		value := s.Value
		if value == "" {
			value = `""`
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", s.Key, value, s.Source)
	}
	return t.Flush()
}

// PrintJSON writes the settings as an array of objects.
func PrintJSON(w io.Writer, settings []Setting) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(settings)
}

// groupTitles are the headings of the reference.
var groupTitles = map[Group]string{
	Common: "All commands", Client: "Talking to a distributor", Ask: "Asking a process that runs", Server: "Serving", Queue: "Queue", Intake: "Taking records in",
	Analyzer: "Analyzers", Autoscaler: "Autoscaler", Policy: "Policy",
}

// Reference is the part of docs/configuration.md that lists all settings, in Markdown.
func Reference() string {
	defaults := bare()
	defaults.fill()
	var b strings.Builder
	code := func(text string) string {
		if text == "" {
			return "-"
		}
		return "`" + text + "`"
	}
	for i, g := range Groups() {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "### %s\n\n| flag | environment | key | default | meaning |\n|---|---|---|---|---|\n", groupTitles[g])
		for i := range table {
			s := &table[i]
			if s.group != g {
				continue
			}
			f := s.field(defaults)
			key, env := s.key(), s.env()
			if s.noKey() {
				key = ""
			}
			if s.flagOnly() {
				env = ""
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n",
				code("--"+s.name), code(env), code(key), code(f.text()), strings.ReplaceAll(s.sentence(f), "|", `\|`))
		}
	}
	return b.String()
}
