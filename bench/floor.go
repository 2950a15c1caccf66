package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/internal/group"
	"github.com/sluicehq/sluice/internal/jsonscan"
)

const (
	maxFloorBody = 32 << 20 // bytes; the default of sluice's --max-body-bytes
	maxFloorFile = 4 << 30  // bytes after which the floor starts a new file and deletes the old one
)

// floor is the least that a durable ingest server can do: it checks the records, packs them, and answers once they are
// synced to one file. All requests that wait share a sync. It has no queue, no limits, no statistics and no other route.
type floor struct {
	committer group.Committer[*floorJob]
	jobs      sync.Pool
	dir       string
	limit     int64 // bytes of a file

	// Used by one commit at a time.
	file *os.File
	out  *bufio.Writer // its buffer makes one write of a commit, except where single blocks exceed the buffer
	size int64
	seq  int
}

// floorJob is one request. Its buffers serve later requests.
type floorJob struct {
	body    []byte
	packed  []byte
	answer  []byte
	scanner jsonscan.Scanner
	err     error
}

func newFloor(dir string, limit int64) (*floor, error) {
	f := &floor{dir: dir, limit: limit, out: bufio.NewWriterSize(nil, 1<<20)}
	f.jobs.New = func() any { return new(floorJob) }
	f.committer.Commit = f.commit
	return f, f.rotate()
}

// rotate starts the next file and deletes the one before.
func (f *floor) rotate() error {
	f.seq++
	file, err := os.Create(filepath.Join(f.dir, fmt.Sprintf("blocks-%d", f.seq)))
	if err != nil {
		return err
	}
	if f.file != nil {
		f.file.Close()
		os.Remove(f.file.Name())
	}
	f.file, f.size = file, 0
	f.out.Reset(file)
	return nil
}

func (f *floor) commit(jobs []*floorJob) {
	err := f.write(jobs)
	for _, j := range jobs {
		j.err = err
	}
}

func (f *floor) write(jobs []*floorJob) error {
	if f.size >= f.limit {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	for _, j := range jobs {
		f.out.Write(j.packed) // an error stays with the writer; Flush returns it
		f.size += int64(len(j.packed))
	}
	if err := f.out.Flush(); err != nil {
		return err
	}
	return syncData(f.file)
}

func (f *floor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength < 0 || r.ContentLength > maxFloorBody {
		http.Error(w, "send a Content-Length of at most 32 MiB", http.StatusRequestEntityTooLarge)
		return
	}
	j := f.jobs.Get().(*floorJob)
	defer f.jobs.Put(j)
	size := int(r.ContentLength)
	j.body = slices.Grow(j.body[:0], size+1)[:size] // one more for a missing line end
	if _, err := io.ReadFull(r.Body, j.body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	count, err := j.check()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	j.packed = sluice.AppendBlock(j.packed[:0], j.body)
	f.committer.Do(j)
	if j.err != nil {
		http.Error(w, j.err.Error(), http.StatusInternalServerError)
		return
	}
	j.answer = append(j.answer[:0], `{"accepted":`...)
	j.answer = strconv.AppendInt(j.answer, int64(count), 10)
	j.answer = append(j.answer, `,"rejected":0,"errors":[]}`+"\n"...)
	w.Header()["Content-Type"] = jsonType
	w.Write(j.answer)
}

var jsonType = []string{"application/json"}

// check counts the lines of the body, each of which must be a JSON object.
func (j *floorJob) check() (count int, err error) {
	if !utf8.Valid(j.body) {
		return 0, fmt.Errorf("the body is not UTF-8")
	}
	for at := 0; at < len(j.body); count++ {
		if n := j.scanner.Line(j.body[at:]); n > 0 { // nearly always
			at += n
			continue
		}
		line, _, ended := bytes.Cut(j.body[at:], []byte{'\n'})
		if err := j.scanner.Object(line); err != nil {
			return 0, fmt.Errorf("line %d: %w", count+1, err)
		}
		if !ended {
			j.body = append(j.body, '\n')
		}
		at += len(line) + 1
	}
	return count, nil
}

// serveFloor serves on a free port until ctx ends. It reports the address the way sluice does.
func serveFloor(ctx context.Context, dir string) error {
	f, err := newFloor(dir, maxFloorFile)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "{\"msg\":\"ready\",\"address\":%q}\n", l.Addr())
	srv := &http.Server{Handler: f}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	if err := srv.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}
