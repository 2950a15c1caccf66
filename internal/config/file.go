package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile is more than anyone writes by hand, and little enough to be read at once.
const maxFile = 1 << 20

// file reads the configuration file that path names.
func (in *input) file(path given) {
	data, err := readAll(path.text)
	if err != nil {
		in.problem("read configuration (%s): %w", path.source, err)
		return
	}
	in.document(path.text, data)
}

func readAll(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than %s", path, FormatSize(maxFile))
	}
	return data, nil
}

// yamlLine is how the YAML package says where a mistake is, if it does.
var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line ([0-9]+): )?`)

// document takes the settings from the text of a file. The path is for messages only.
func (in *input) document(path string, data []byte) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	err := decoder.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return // nothing but comments
	}
	if err == nil {
		in.root(path, doc.Content[0])
		var second yaml.Node
		switch err = decoder.Decode(&second); {
		case errors.Is(err, io.EOF):
			return
		case err == nil:
			in.problem("%s:%d: another YAML document begins here, want one only", path, second.Line)
			return
		}
	}
	in.problem("%s", notYAML(path, data, err))
}

// notYAML is the message about a mistake in the syntax.
func notYAML(path string, data []byte, err error) string {
	at := yamlLine.FindStringSubmatch(err.Error())
	text := strings.TrimPrefix(err.Error(), at[0])
	if at[1] == "" {
		return fmt.Sprintf("%s: not YAML: %s", path, text)
	}
	line, _ := strconv.Atoi(at[1])
	if strings.HasPrefix(text, "did not find expected") {
		line++ // the parser counts from zero, its scanner from one
	}
	line = min(line, bytes.Count(bytes.TrimSpace(data), []byte("\n"))+1)
	return fmt.Sprintf("%s:%d: not YAML: %s", path, line, text)
}

// root takes the settings from the top of a document.
func (in *input) root(path string, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		in.problem("%s:%d: the file holds %s, want lines such as max_size: 10", path, n.Line, shapeOf(n))
		return
	}
	known := make(map[string]*setting)
	var keys []string
	for i := range table {
		if s := &table[i]; !s.noKey() {
			known[s.key()] = s
			keys = append(keys, s.key())
		}
	}
	first := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		where := path + ":" + strconv.Itoa(key.Line)
		s := known[key.Value]
		switch line := first[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			in.problem("%s: the key is %s, want the name of a setting", where, shapeOf(key))
		case s == nil && value.Kind == yaml.MappingNode:
			in.problem("%s: unknown key %s; settings are not grouped, want all of them at the left edge", where, quoted(key.Value))
		case s == nil:
			in.problem("%s: unknown key %s%s", where, quoted(key.Value), DidYouMean(key.Value, keys))
		case line > 0:
			in.problem("%s: %s is given twice, first in line %d", where, s.key(), line)
		case value.Kind != yaml.ScalarNode:
			in.bad[s.name] = true
			in.problem("%s: %s holds %s, want one value", where, s.key(), shapeOf(value))
		case value.ShortTag() == "!!null":
			in.bad[s.name] = true
			in.problem("%s: %s has no value; leave the line out for the default", where, s.key())
		case !plainTags[value.ShortTag()]:
			in.bad[s.name] = true
			in.problem("%s: %s has the tag %s, want a plain value", where, s.key(), quoted(value.Tag))
		default:
			in.give(s, given{value.Value, "file " + where})
		}
		if key.Kind == yaml.ScalarNode && first[key.Value] == 0 {
			first[key.Value] = key.Line
		}
	}
}

// plainTags are the types of values whose text can be taken as it stands.
var plainTags = map[string]bool{"!!str": true, "!!int": true, "!!float": true, "!!bool": true, "!!timestamp": true}

// shapeOf names what a node is, for people.
func shapeOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	return "the value " + quoted(strings.TrimSpace(n.Value))
}
