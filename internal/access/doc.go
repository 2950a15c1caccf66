// Package access says who may ask what: bearer tokens from a file, the path below which everything lies, and requests that a web page of
// somebody else made.
//
// # Tokens
//
// With a file of tokens every request needs one of them, in the header "Authorization: Bearer TOKEN" or in the cookie that the sign-in of
// the page sets. The file is looked at once a second at most, so that tokens can be exchanged without a restart: add the new one, give it
// to those who ask, take the old one out. Without a token are answered: /healthz; /readyz, but not why; the files of the page, which
// hold no data; and the sign-in.
//
// # How it fails
//
// A file that becomes unreadable or wrong locks nobody out and lets nobody in: the tokens that were last good stay, and the log says so
// once. At the start it is an error.
package access
