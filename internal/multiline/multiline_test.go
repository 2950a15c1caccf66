package multiline

import (
	"slices"
	"strings"
	"testing"
)

// join makes records of a text as the callers of a Joiner do.
func join(text string) (records []string) {
	var j Joiner
	blank := 0
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case strings.TrimSpace(line) == "":
			blank++
			continue
		case len(records) > 0 && j.Continues([]byte(line), blank):
			records[len(records)-1] += strings.Repeat("\n", blank+1) + line
		default:
			j.Start([]byte(line))
			records = append(records, line)
		}
		blank = 0
	}
	return records
}

// TestTraces: each of these is one record, between two others, and twice in a row it is two.
func TestTraces(t *testing.T) {
	for name, trace := range map[string]string{
		"Java": `2024-01-01 10:00:00 ERROR [main] c.e.App - Request failed
java.lang.IllegalStateException: no session
	at com.example.App.run(App.java:12)
	at com.example.App.main(App.java:5)
	Suppressed: java.io.IOException: close
		at com.example.Res.close(Res.java:9)
Caused by: java.lang.NullPointerException
	at com.example.Db.get(Db.java:31)
	... 23 more`,
		"Java without a log line": `Exception in thread "main" java.lang.RuntimeException: x
	at com.example.App.main(App.java:5)
Caused by: com.example.Other$Inner
	... 1 common frames omitted`,
		"Java without indentation": `java.lang.IllegalStateException: no session
at com.example.App.run(App.java:12)
at com.example.App.main(Unknown Source)
... 3 more`,
		".NET": `Unhandled exception. System.InvalidOperationException: outer
 ---> System.ArgumentException: inner
   at Program.Inner() in /src/Program.cs:line 9
   --- End of inner exception stack trace ---
   at Program.Main(String[] args) in /src/Program.cs:line 5
--- End of stack trace from previous location ---
   at Program.<Main>(String[] args)`,
		"Python": `ERROR:root:it failed
Traceback (most recent call last):
  File "/app/a.py", line 3, in <module>
    1/0
    ~^~
ZeroDivisionError: division by zero

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/a.py", line 5, in <module>
    raise app.Problem("x")
app.Problem: x`,
		"Python, interrupted": `Traceback (most recent call last):
  File "/app/a.py", line 3, in <module>
KeyboardInterrupt`,
		"Go": `panic: runtime error: index out of range [5] with length 3 [recovered]
	panic: again
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x1]

goroutine 1 [running]:
main.(*T).run(0xc000012345, {0x1, 0x2})
	/src/main.go:12 +0x1d
main.main()
	/src/main.go:5 +0x1d

goroutine 18 [chan receive, 5 minutes]:
created by main.main in goroutine 1
	/src/main.go:4 +0x2a
exit status 2`,
		"JavaScript": `TypeError: Cannot read properties of undefined (reading 'a')
    at f (/app/index.js:3:9)
    at async Promise.all (index 0)
    at node:internal/main/run_main_module:23:47 {
  code: 'X'
}`,
		"JavaScript, uncaught": `/app/index.js:3
    throw new Error("x");
    ^

Error: x
    at Object.<anonymous> (/app/index.js:3:9)`,
		"Ruby": "app.rb:1:in `foo': message (RuntimeError)\n\tfrom app.rb:5:in `bar'\n\tfrom app.rb:9:in `<main>'",
		"Rails": "E, [2024-01-01T10:00:00.1 #1] ERROR -- : NoMethodError (undefined method):\n" +
			"app/models/user.rb:12:in `name'\napp/controllers/users.rb:3:in 'Users#show'",
		"PHP": `PHP Fatal error:  Uncaught Exception: x in /app/a.php:3
Stack trace:
#0 /app/a.php(5): foo()
#1 [internal function]: bar()
#2 {main}
  thrown in /app/a.php on line 3`,
		"Rust": "thread 'main' panicked at src/main.rs:2:5:\nindex out of bounds\nstack backtrace:\n   0: rust_begin_unwind\n" +
			"             at /rustc/abc/library/std/src/panicking.rs:647:5\n   1: core::panicking::panic_fmt\nnote: run with `RUST_BACKTRACE=full` for a verbose backtrace.",
		"details": "2024-01-01 10:00:00 INFO query:\n  select *\n    from t",
		"brackets": `config {
  a: [
    x
  ]
}`,
	} {
		t.Run(name, func(t *testing.T) {
			want := []string{"a line before", trace, trace, "2024-01-01 10:00:01 INFO behind"}
			if strings.HasPrefix(trace, "Traceback") { // joins any line before it
				want[0] += "\n" + trace
				want = slices.Delete(want, 1, 2)
			}
			if got := join("a line before\n" + trace + "\n" + trace + "\n2024-01-01 10:00:01 INFO behind"); !slices.Equal(got, want) {
				t.Errorf("got %d records, want %d:\n%s", len(got), len(want), strings.Join(got, "\n-----\n"))
			}
		})
	}
}

// TestUnrelatedLines: each line of these is a record by itself.
func TestUnrelatedLines(t *testing.T) {
	for name, text := range map[string]string{
		"plain":                  "one\ntwo\nthree at home\nat last it works\nfrom here on\ncreated by admin",
		"times":                  "2024-01-01 10:00:00 a\n2024-01-01 10:00:01 b\n[2024-01-01 10:00:00] prod.INFO: one\nJan  2 10:00:00 host app: x",
		"levels aligned right":   "ERROR 2024-01-01 a\n INFO 2024-01-01 b\n WARN 2024-01-01 c\nDEBUG d\n [info] e",
		"an indented list":       "  apples\n  pears\n    plums",
		"numbers aligned right":  "header\n      3 a\n     12 b\n    100 c",
		"an error by itself":     "starting\nError: cannot open file\nretrying\nError: cannot open file",
		"errors behind an error": "java.lang.A: x\njava.lang.BException: y\nTypeError: z",
		"syslog":                 "<13>Jan  2 10:00:00 host app: a\n <14>Jan  2 10:00:00 host app: b",
		"behind an empty line":   "words\n\n    indented words",
		"klog":                   "I0102 10:00:00.000000 1 a.go:3] x\nE0102 10:00:00.000000 1 a.go:4] y",
		"brackets":               "a\n}\n]",
		"compiler":               "main.go:3:2: unused\nmain.go:4:2: unused\na.rb:3: warning: x",
		"logfmt":                 "level=info msg=a\n level=info msg=b\n time=2024-01-01 msg=c",
		"space behind":           "one\ntwo \t\nthree\r\n",
		"numbered":               "#1 first\n#2 second\n1. one\n 2. two",
	} {
		t.Run(name, func(t *testing.T) {
			want := slices.DeleteFunc(strings.Split(text, "\n"), func(s string) bool { return s == "" })
			if got := join(text); !slices.Equal(got, want) {
				t.Errorf("got %d records, want %d:\n%s", len(got), len(want), strings.Join(got, "\n-----\n"))
			}
		})
	}
}

// TestATraceMayLackItsHead, where a body begins in the middle or behind records of another kind.
func TestATraceMayLackItsHead(t *testing.T) {
	for _, text := range []string{
		"\tat a.B.c(B.java:1)\n\tat a.B.d(B.java:2)\nCaused by: a.X\n\t... 2 more",
		"  File \"a.py\", line 3, in f\n    return 1",
	} {
		if got := join(text); len(got) != 1 {
			t.Errorf("%d records: %q", len(got), got)
		}
	}
}

func TestRecordsAreBounded(t *testing.T) {
	lines := join("first\n" + strings.Repeat("\tat a.B.c(B.java:1)\n", 2*MaxLines))
	if len(lines) != 3 || strings.Count(lines[0], "\n") != MaxLines-1 {
		t.Errorf("%d records, the first of %d lines; want 3, and at most %d lines", len(lines), strings.Count(lines[0], "\n")+1, MaxLines)
	}
	size := join("first\n" + strings.Repeat("\tat a.B.c("+strings.Repeat("x", 10_000)+")\n", 100))
	for _, r := range size {
		if len(r) > MaxBytes {
			t.Errorf("a record of %d bytes, the limit is %d", len(r), MaxBytes)
		}
	}
	if len(size) != 4 {
		t.Errorf("a megabyte in %d records, want 4", len(size))
	}
	if got := join("first\n\tat a.b(C:1)" + strings.Repeat("\n", MaxBlank+2) + "\tat a.b(C:2)"); len(got) != 2 {
		t.Errorf("%q: %d empty lines must end a record", got, MaxBlank+1)
	}
}

// FuzzJoiner: a record read again from its start is the same record.
func FuzzJoiner(f *testing.F) {
	f.Add("a\n\tat b\n\nCaused by: x\nTraceback (most recent call last):\n  x\nA: b\n2024-01-01 x")
	f.Add("panic: x\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:1 +0x1\nexit status 2\nthread 'm' panicked at x:\ny")
	f.Fuzz(func(t *testing.T, text string) {
		records := join(text)
		if again := join(strings.Join(records, "\n")); len(text) < MaxBytes && strings.Count(text, "\n") < MaxLines && strings.Join(again, "\n") != strings.Join(records, "\n") {
			t.Fatalf("%q: lines changed", text)
		}
		for _, r := range records {
			if got := join(r); len(got) != 1 || got[0] != r {
				t.Errorf("%q: by itself it is %q", r, got)
			}
		}
	})
}

func BenchmarkJoiner(b *testing.B) {
	for name, line := range map[string]string{
		"stamped": "2024-01-01 10:00:00 INFO GET /api/v1/items/48213 took 83 ms",
		"words":   "GET /api/v1/items/48213 took 83 ms and some words",
		"frame":   "\tat com.example.App.main(App.java:5)",
	} {
		b.Run(name, func(b *testing.B) {
			var j Joiner
			text := []byte(line)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if j.Continues(text, 0) {
					continue
				}
				j.Start(text)
			}
		})
	}
}
