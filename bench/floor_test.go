package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/emitter"
)

// storedLines unpacks every block below a floor's folder.
func storedLines(t *testing.T, dir string) []byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %q, %v, want one", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for len(data) > 0 {
		end := 4 + binary.BigEndian.Uint32(data)
		block := data[:end]
		data = data[end:]
		size, _ := binary.Uvarint(block[4:]) // S2 blocks start with their unpacked length
		unpack := func(count int) ([]byte, error) {
			return sluice.NewPackedBatch([][]byte{block}, count, int(size), time.Now()).Lines()
		}
		lines, err := unpack(1)
		for count := 2; err != nil && count <= 100; count++ { // a batch must know how many lines it has
			lines, err = unpack(count)
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, lines...)
	}
	return all
}

func post(h http.Handler, body io.Reader) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/v1/records", body))
	return w
}

func TestFloorStoresWhatItAnswers(t *testing.T) {
	dir := t.TempDir()
	f, err := newFloor(dir, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			g, err := emitter.NewGenerator(emitter.GeneratorOptions{Emitter: fmt.Sprint("e", c)})
			if err != nil {
				t.Error(err)
				return
			}
			for n := 1; n <= 5; n++ {
				body := bytes.TrimSuffix(appendRecords(nil, g, n, 0), []byte("\n")) // the last line end may be missing
				want := fmt.Sprintf(`{"accepted":%d,"rejected":0,"errors":[]}`+"\n", n)
				if w := post(f, bytes.NewReader(body)); w.Code != 200 || w.Body.String() != want {
					t.Errorf("answer %d %q, want %q", w.Code, w.Body, want)
				}
			}
		})
	}
	wg.Wait()
	lines := storedLines(t, dir)
	if got := bytes.Count(lines, []byte("\n")); got != 8*15 {
		t.Errorf("%d lines are stored, want %d", got, 8*15)
	}
	for c := range 8 {
		for seq := 1; seq <= 15; seq++ {
			if want := fmt.Sprintf(`"sluice.emitter":"e%d","sluice.seq":%d}}`+"\n", c, seq); !bytes.Contains(lines, []byte(want)) {
				t.Errorf("record %d of emitter %d is not stored", seq, c)
			}
		}
	}
}

func TestFloorRefuses(t *testing.T) {
	dir := t.TempDir()
	f, err := newFloor(dir, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"{}\n{\n", "{}\n[]\n", "{}\n\n{}\n", "{\"a\":\"\xff\"}\n", "{} {}\n"} {
		if w := post(f, strings.NewReader(body)); w.Code != http.StatusBadRequest {
			t.Errorf("%q: answer %d %s, want 400", body, w.Code, w.Body)
		}
	}
	if w := post(f, io.MultiReader(strings.NewReader("{}"))); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a body without a length: answer %d, want 413", w.Code)
	}
	if lines := storedLines(t, dir); len(lines) > 0 {
		t.Errorf("refused bodies are stored: %q", lines)
	}
}

func TestFloorKeepsOneFile(t *testing.T) {
	dir := t.TempDir()
	f, err := newFloor(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{`{"n":1}`, `{"n":2}`, `{"n":3}`} {
		if w := post(f, strings.NewReader(body)); w.Code != 200 {
			t.Fatalf("answer %d %s", w.Code, w.Body)
		}
	}
	if got := string(storedLines(t, dir)); got != `{"n":3}`+"\n" {
		t.Errorf("the file holds %q, want the last record", got)
	}
}
