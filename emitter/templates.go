package emitter

import (
	"strconv"
	"strings"
)

// hosts is how many hosts each service runs on.
const hosts = 4

// A template is one kind of record. A body has placeholders in angle brackets; see fills.
type template struct {
	weight            int // in a hundred
	severity, service string
	body              string

	head      string // what comes between the timestamp and the body's text
	pieces    []piece
	resources [hosts]string // what comes between the body's text and the attributes
}

// piece is literal text and what follows it; fill is nil behind the last.
type piece struct {
	text string
	fill func([]byte, *dice) []byte
}

var templates = []template{
	{weight: 22, severity: "INFO", service: "gateway", body: "GET <path>/<id> 200 <ms>ms"},
	{weight: 12, severity: "INFO", service: "gateway", body: "POST <path> 201 <ms>ms"},
	{weight: 9, severity: "INFO", service: "catalog", body: "search q=<word> hits=<n> took=<ms>ms"},
	{weight: 9, severity: "INFO", service: "auth", body: "login ok user=u-<id> ip=<ip>"},
	{weight: 10, severity: "INFO", service: "checkout", body: "payment accepted order=o-<id><n> amount=<money> EUR"},
	{weight: 8, severity: "INFO", service: "cart", body: "item added user=u-<id> sku=<hex> qty=<digit>"},
	{weight: 5, severity: "INFO", service: "mailer", body: "receipt sent order=o-<id><n> in <ms>ms"},
	{weight: 7, severity: "DEBUG", service: "catalog", body: "cache miss key=product:<id> ttl=<n>s"},
	{weight: 4, severity: "DEBUG", service: "cart", body: "session <hex><hex> loaded in <ms>ms"},
	{weight: 4, severity: "WARN", service: "auth", body: "login failed user=u-<id> ip=<ip> reason=bad password"},
	{weight: 3, severity: "WARN", service: "gateway", body: "GET <path>/<id> 429 <ms>ms: too many requests from <ip>"},
	{weight: 2, severity: "WARN", service: "orders", body: "slow query table=<word> took=<id>ms rows=<n>"},
	{weight: 2, severity: "ERROR", service: "orders", body: "query timed out after 5000ms table=<word> connection=<n>"},
	{weight: 2, severity: "ERROR", service: "checkout", body: "payment declined order=o-<id><n> amount=<money> EUR code=<n>"},
	{weight: 1, severity: "ERROR", service: "gateway", body: "GET <path>/<id> 502 <ms>ms: upstream closed the connection"},
}

var (
	goods = []string{"orders", "invoices", "lamps", "chairs", "stock", "teapots", "returns", "shelves", "users", "vouchers", "bicycles", "parcels"}
	paths = []string{"/api/cart", "/api/products", "/api/orders", "/login", "/api/search", "/static/img", "/health", "/api/checkout"}
)

// fills writes what stands for each placeholder.
var fills = map[string]func([]byte, *dice) []byte{
	"path":  func(b []byte, d *dice) []byte { return append(b, paths[d.below(len(paths))]...) },
	"word":  func(b []byte, d *dice) []byte { return append(b, goods[d.below(len(goods))]...) },
	"id":    func(b []byte, d *dice) []byte { return strconv.AppendInt(b, int64(1000+d.below(9000)), 10) },
	"n":     func(b []byte, d *dice) []byte { return strconv.AppendInt(b, int64(10+d.below(290)), 10) },
	"digit": func(b []byte, d *dice) []byte { return append(b, byte('1'+d.below(9))) },
	"ms": func(b []byte, d *dice) []byte { // mostly quick, sometimes slow
		return strconv.AppendInt(b, int64(1+d.below(60)*d.below(60)/20), 10)
	},
	"money": func(b []byte, d *dice) []byte {
		cents := d.below(100)
		b = strconv.AppendInt(b, int64(1+d.below(400)), 10)
		return append(b, '.', byte('0'+cents/10), byte('0'+cents%10))
	},
	"ip": func(b []byte, d *dice) []byte { // from a block that is reserved for documentation
		return strconv.AppendInt(append(b, "198.51.100."...), int64(1+d.below(254)), 10)
	},
	"hex": func(b []byte, d *dice) []byte {
		const digits = "0123456789abcdef"
		v := d.below(1 << 16)
		return append(b, digits[v>>12], digits[v>>8&15], digits[v>>4&15], digits[v&15])
	},
}

// templateOf has one entry per hundredth: the index of a template, as often as its weight.
var templateOf = prepare()

// prepare cuts the templates into pieces.
func prepare() (of []uint8) {
	for i := range templates {
		t := &templates[i]
		for range t.weight {
			of = append(of, uint8(i))
		}
		t.head = `,"severity":"` + t.severity + `","body":"`
		for h := range t.resources {
			t.resources[h] = `","resource":{"service.name":"` + t.service + `","host.name":"` + t.service + "-" + strconv.Itoa(h+1) + `"`
		}
		rest := t.body
		for rest != "" {
			text, name, found := strings.Cut(rest, "<")
			p := piece{text: text}
			rest = ""
			if found {
				name, rest, _ = strings.Cut(name, ">")
				p.fill = fills[name]
			}
			t.pieces = append(t.pieces, p)
		}
	}
	return of
}
