package main

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/sluicehq/sluice/emitter"
)

// appendRecords appends n records of at least size bytes. Records longer than those of the emitters' generator have a stack
// trace in one more attribute, as the long records of real applications do; S2 packs it about as well as the rest.
func appendRecords(dst []byte, g *emitter.Generator, n, size int) []byte {
	if size == 0 {
		return g.Append(dst, n, time.Now())
	}
	for range n {
		start := len(dst)
		dst = g.Append(dst, 1, time.Now())
		random := rand.New(rand.NewPCG(1, g.Seq()))
		dst = append(dst[:len(dst)-len("}}\n")], `,"exception.stacktrace":"`...)
		for len(dst)-start < size-len(`"}}`+"\n") {
			dst = appendFrame(dst, random)
		}
		dst = append(dst, `"}}`+"\n"...)
	}
	return dst
}

var (
	things = []string{"order", "invoice", "cart", "payment", "session", "catalog", "stock", "voucher", "parcel", "ledger", "price", "tax"}
	kinds  = []string{"Service", "Repository", "Controller", "Handler", "Client", "Mapper", "Filter", "Proxy"}
	verbs  = []string{"find", "load", "save", "apply", "invoke", "handle", "retry", "commit", "reserve", "validate"}
)

// appendFrame appends one line of a stack trace, as JSON text.
func appendFrame(dst []byte, random *rand.Rand) []byte {
	pick := func(from []string) string { return from[random.IntN(len(from))] }
	thing, kind := pick(things), pick(kinds)
	dst = append(dst, `\n\tat com.shop.`+thing+"."+kind+"."...)
	dst = append(dst, pick(verbs)+"("+thing+kind+".java:"...)
	dst = strconv.AppendInt(dst, int64(random.IntN(900)), 10)
	dst = append(dst, ") ~[shop-"+pick(things)+"-4."...)
	dst = strconv.AppendInt(dst, int64(random.IntN(90)), 10)
	return append(dst, ".jar]"...)
}
