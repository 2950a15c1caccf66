package config

import (
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehq/sluice/autoscale/rivals"
)

// kind is what sort of value a setting has.
type kind string

const (
	isBool     kind = "bool"
	isWhole    kind = "int"
	isDuration kind = "duration"
	isSize     kind = "size"
	isPercent  kind = "percent"
	isText     kind = "string"
)

// field is one place in a Config, with the way in and the way out.
type field struct {
	kind  kind
	shape string                  // stands for the value in a usage line, where kind does not say it best
	rule  string                  // the values allowed, for the manual: "1 to 64"; empty if that goes without saying
	set   func(text string) error // stores what text means; the error is a wantError
	text  func() string           // what set would take to store the present value
}

// auto is the text for "what the room chooses" in settings whose default is no fixed value.
const auto = "auto"

// orAuto lets f take and show the word auto, which stands for zero at p.
func orAuto[T int64 | time.Duration](p *T, f field) field {
	inner := f
	f.set = func(text string) error {
		if strings.EqualFold(strings.TrimSpace(text), auto) {
			*p = 0
			return nil
		}
		want, wrong := errors.AsType[wantError](inner.set(text))
		if wrong {
			return wantError(joinWords(string(want), "or "+auto))
		}
		return nil
	}
	f.text = func() string {
		if *p == 0 {
			return auto
		}
		return inner.text()
	}
	return f
}

// zeroIsOff is for a room in which zero means the default and a negative value means off: what is 0 here is -1 there.
func zeroIsOff[T int64 | time.Duration](p *T, of func(*T) field) field {
	var value T
	inner := of(&value)
	f := inner
	f.set = func(text string) error {
		err := inner.set(text)
		if err != nil {
			return err
		}
		*p = value
		if value == 0 {
			*p = -1
		}
		return nil
	}
	f.text = func() string {
		value = max(*p, 0)
		return inner.text()
	}
	return f
}

// whole is a number from least to most; most 0 means that there is no such bound.
func whole(p *int, least, most int) field {
	rule, manual := "at least "+strconv.Itoa(least), ""
	if most > 0 {
		rule = strconv.Itoa(least) + " to " + strconv.Itoa(most)
		manual = rule
	}
	return field{
		kind: isWhole, rule: manual,
		set: func(text string) error {
			n, err := strconv.Atoi(strings.TrimSpace(text))
			switch {
			case err != nil:
				return wantError(joinWords(wantWhole, rule))
			case n < least, most > 0 && n > most:
				return wantError(rule)
			}
			*p = n
			return nil
		},
		text: func() string { return strconv.Itoa(*p) },
	}
}

// atLeast is a duration with a lower bound. A bound of a nanosecond reads as "more than 0".
func atLeast(p *time.Duration, least time.Duration) field {
	rule, manual := "", ""
	switch {
	case least == time.Nanosecond:
		rule = "more than 0"
	case least > 0:
		rule = "at least " + FormatDuration(least)
		manual = rule
	}
	return field{
		kind: isDuration, rule: manual,
		set: func(text string) error {
			d, err := ParseDuration(text)
			switch {
			case err == wantError(wantShorter):
				return err
			case err != nil:
				return wantError(joinWords(wantDuration, rule))
			case d < least:
				return wantError(rule)
			}
			*p = d
			return nil
		},
		text: func() string { return FormatDuration(*p) },
	}
}

// percent is a part of a hundred, with or without the sign behind it.
func percent(p *float64, least, most float64) field {
	write := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) + "%" }
	rule := write(least) + " to " + write(most)
	return field{
		kind: isPercent, rule: rule,
		set: func(text string) error {
			x, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "%")), 64)
			switch {
			case err != nil:
				return wantError(joinWords("a percentage such as 99.9%", rule))
			case !(x >= least && x <= most): // NaN too
				return wantError(rule)
			}
			*p = x
			return nil
		},
		text: func() string { return write(*p) },
	}
}

// inBytes is a size with a lower bound; with orZero, 0 is allowed too.
func inBytes[T int | int64](p *T, least int64, orZero bool) field {
	rule := ""
	if least > 0 {
		rule = "at least " + FormatSize(least)
	}
	if orZero {
		rule = "0, or " + rule
	}
	return field{
		kind: isSize, rule: rule,
		set: func(text string) error {
			n, err := ParseSize(text)
			switch {
			case err != nil || int64(T(n)) != n:
				return wantError(joinWords(wantSize, rule))
			case n < least && !(orZero && n == 0):
				return wantError(rule)
			}
			*p = T(n)
			return nil
		},
		text: func() string { return FormatSize(int64(*p)) },
	}
}

// truth is true or false.
func truth(p *bool) field {
	return field{
		kind: isBool,
		set: func(text string) error {
			b, err := strconv.ParseBool(strings.TrimSpace(text))
			if err != nil {
				return wantError("true or false")
			}
			*p = b
			return nil
		},
		text: func() string { return strconv.FormatBool(*p) },
	}
}

// opposite is true where *p is false.
func opposite(p *bool) field {
	value := !*p
	f := truth(&value)
	set := f.set
	f.set = func(text string) error {
		err := set(text)
		*p = !value
		return err
	}
	f.text = func() string { return strconv.FormatBool(!*p) }
	return f
}

// wording is any text; with needed, not an empty one.
func wording(p *string, needed bool) field {
	return field{
		kind: isText,
		set: func(text string) error {
			if needed && text == "" {
				return wantError("something")
			}
			*p = text
			return nil
		},
		text: func() string { return *p },
	}
}

// file is the path of a file, or nothing.
func file(p *string) field {
	f := wording(p, false)
	f.shape = "file"
	return f
}

// hosts is a list of host names, with commas.
func hosts(p *[]string) field {
	return field{
		kind: isText, shape: "names",
		set: func(text string) error {
			var list []string
			for name := range strings.SplitSeq(text, ",") {
				name = strings.ToLower(strings.TrimSpace(name))
				if name == "" {
					continue
				}
				if strings.ContainsAny(name, "*/:@ ") {
					return wantError("host names without scheme, port or *, such as logs.example,sluice")
				}
				if !slices.Contains(list, name) {
					list = append(list, name)
				}
			}
			*p = list
			return nil
		},
		text: func() string { return strings.Join(*p, ",") },
	}
}

// choice is one of a few names.
func choice[T ~string](p *T, names ...string) field {
	return field{
		kind: isText, shape: strings.Join(names, "|"),
		set: func(text string) error {
			for _, name := range names {
				if strings.EqualFold(strings.TrimSpace(text), name) {
					*p = T(name)
					return nil
				}
			}
			return wantError("one of " + strings.Join(names, ", ") + DidYouMean(text, names))
		},
		text: func() string { return string(*p) },
	}
}

// pairs is for keys with values; which ones there are, somebody else knows.
func pairs(p *rivals.Settings) field {
	return field{
		kind: isText, shape: "key=value,...",
		set: func(text string) error {
			all := rivals.Settings{}
			for pair := range strings.SplitSeq(text, ",") {
				if strings.TrimSpace(pair) == "" {
					continue
				}
				key, value, found := strings.Cut(pair, "=")
				key, value = strings.TrimSpace(key), strings.TrimSpace(value)
				if !found || key == "" || value == "" {
					return wantError("key=value pairs with commas between them, such as target=20,down_window=30s")
				}
				if _, twice := all[key]; twice {
					return wantError("each key once, and not " + key + " twice")
				}
				all[key] = value
			}
			*p = all
			return nil
		},
		text: func() string {
			var list []string
			for _, key := range slices.Sorted(maps.Keys(*p)) {
				list = append(list, key+"="+(*p)[key])
			}
			return strings.Join(list, ",")
		},
	}
}

// names is a list of some of the known names, with commas; all or none of them.
func names(p *[]string, known []string) field {
	return field{
		kind: isText, shape: "names",
		set: func(text string) error {
			var list []string
			switch text = strings.ToLower(strings.TrimSpace(text)); text {
			case "all":
				list = slices.Clone(known)
			case "none", "":
			default:
				for name := range strings.SplitSeq(text, ",") {
					name = strings.TrimSpace(name)
					if !slices.Contains(known, name) {
						return wantError("all, none or some of " + strings.Join(known, ", ") + DidYouMean(name, known))
					}
					if !slices.Contains(list, name) {
						list = append(list, name)
					}
				}
			}
			*p = list
			return nil
		},
		text: func() string {
			switch {
			case len(*p) == 0:
				return "none"
			case slices.Equal(*p, known):
				return "all"
			}
			return strings.Join(*p, ",")
		},
	}
}

// level is the least level that is logged.
func level(p *slog.Level) field {
	name := strings.ToLower(p.String())
	f := choice(&name, "debug", "info", "warn", "error")
	set := f.set
	f.set = func(text string) error {
		if err := set(text); err != nil {
			return err
		}
		return p.UnmarshalText([]byte(name))
	}
	return f
}

// address is where to listen.
func address(p *string) field {
	f := wording(p, true)
	f.shape = "address"
	f.set = func(text string) error {
		_, port, err := net.SplitHostPort(text)
		_, wrong := strconv.ParseUint(port, 10, 16)
		if err != nil || wrong != nil {
			return wantError("host:port or :port, such as 127.0.0.1:8000")
		}
		*p = text
		return nil
	}
	return f
}

// basePath is a path such as /sluice, or nothing.
func basePath(p *string) field {
	f := wording(p, false)
	f.shape = "path"
	f.set = func(text string) error {
		text = strings.TrimRight(text, "/")
		if text != "" && (path.Clean("/"+text) != text || strings.ContainsAny(text, "?#%; \\\"")) {
			return wantError("a path such as /sluice")
		}
		*p = text
		return nil
	}
	return f
}

// server is the URL of a distributor. Who logs in there, and how, is never shown.
func server(p *string) field {
	return field{
		kind: isText, shape: "URL",
		set: func(text string) error {
			u, err := url.Parse(strings.TrimSpace(text))
			if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
				return wantError("a URL such as http://127.0.0.1:8000")
			}
			*p = strings.TrimRight(u.String(), "/")
			return nil
		},
		text: func() string {
			u, err := url.Parse(*p)
			if err != nil || u.User == nil {
				return *p
			}
			u.User = url.User(hidden)
			return u.String()
		},
	}
}

// joinWords puts a comma between two phrases if there are two.
func joinWords(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ", " + b
}
