package dashboard

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

//go:embed static
var static embed.FS

// policy lets the browser carry out and load nothing but the files of this package.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// types are the media types of the files; those of the system may differ or be missing.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// file is a file as it is sent.
type file struct {
	contentType  string
	etag         string
	plain, small []byte // as it is, and with gzip
}

// load reads and packs all files, once a process, and not before somebody asks for one: most processes are never looked at.
var load = sync.OnceValue(func() map[string]*file {
	files := map[string]*file{}
	entries, err := fs.ReadDir(static, "static")
	if err != nil {
		panic("dashboard: " + err.Error()) // the folder is part of the binary
	}
	for _, e := range entries {
		plain, err := static.ReadFile("static/" + e.Name())
		if err != nil {
			panic("dashboard: " + err.Error())
		}
		var small bytes.Buffer
		z, _ := gzip.NewWriterLevel(&small, gzip.BestCompression) // the level is a good one
		z.Write(plain)                                            // into memory, which takes everything
		z.Close()
		sum := sha256.Sum256(plain)
		contentType := types[path.Ext(e.Name())]
		if contentType == "" {
			contentType = mime.TypeByExtension(path.Ext(e.Name()))
		}
		files[e.Name()] = &file{contentType, `"` + hex.EncodeToString(sum[:12]) + `"`, plain, small.Bytes()}
	}
	return files
})

// Handler serves the page at "/", and its files below "/ui/". It answers GET and HEAD. Who may see what is the business of the caller:
// the files hold no data.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, asset := strings.CutPrefix(r.URL.Path, "/ui/")
		switch {
		case r.URL.Path == "/":
			name = index
			w.Header().Add("Vary", "Accept") // others get text at the same address
		case !asset || path.Ext(name) == ".html":
			name = ""
		}
		f := load()[name]
		switch {
		case f == nil:
			http.NotFound(w, r)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "this is a file", http.StatusMethodNotAllowed)
		default:
			f.serve(w, r, false)
		}
	})
}

// SignIn serves the page that asks for a token, whatever the address. It hands the token to "ui/session" and loads the same address again.
func SignIn() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { load()[signIn].serve(w, r, true) })
}

// The pages among the files.
const (
	index  = "index.html"
	signIn = "signin.html"
)

// serve answers with the file. The sign-in is never kept by anybody: the same address may show the page a moment later.
func (f *file) serve(w http.ResponseWriter, r *http.Request, fresh bool) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Type", f.contentType)
	h.Add("Vary", "Accept-Encoding")
	if fresh {
		h.Set("Cache-Control", "no-store")
	} else {
		h.Set("Cache-Control", "no-cache") // kept, but asked about each time; a new binary is seen at once
		h.Set("ETag", f.etag)
		if known(r.Header.Get("If-None-Match"), f.etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	body := f.plain
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		body = f.small
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		w.Write(body) // fails only when nobody reads any more
	}
}

// known says whether a list of tags has this one. A proxy that compresses may have made it weak.
func known(list, etag string) bool {
	for tag := range strings.SplitSeq(list, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}

func acceptsGzip(list string) bool {
	for coding := range strings.SplitSeq(list, ",") {
		name, params, _ := strings.Cut(coding, ";")
		if strings.TrimSpace(name) != "gzip" {
			continue
		}
		q, weighted := strings.CutPrefix(strings.TrimSpace(params), "q=")
		if !weighted {
			return true
		}
		weight, err := strconv.ParseFloat(q, 64)
		return err == nil && weight > 0
	}
	return false
}
