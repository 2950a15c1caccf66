package chart

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
)

// letters is the font of all pictures, which is part of the program.
type letters struct {
	font  *opentype.Font
	faces map[float64]font.Face // by size
}

func newLetters() (*letters, error) {
	f, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, fmt.Errorf("chart: font: %w", err)
	}
	return &letters{f, map[float64]font.Face{}}, nil
}

// face is the font in a size.
func (l *letters) face(size float64) font.Face {
	if l.faces[size] == nil {
		f, err := opentype.NewFace(l.font, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
		if err != nil {
			panic(err) // it was read already
		}
		l.faces[size] = f
	}
	return l.faces[size]
}

func (l *letters) width(size float64, text string) float64 {
	return float64(font.MeasureString(l.face(size), text)) / 64
}

// raster is a canvas that paints pixels.
type raster struct {
	*letters
	img *image.RGBA
}

func newPNG(c Chart, l *letters) *raster {
	return &raster{l, image.NewRGBA(image.Rect(0, 0, c.Width, c.Height))}
}

func (r *raster) encode(w io.Writer) error {
	e := png.Encoder{CompressionLevel: png.BestCompression}
	return e.Encode(w, r.img)
}

// fill paints shapes with one colour. Each shape is a polygon; where they overlap nothing is painted twice, as long as
// all of them turn the same way.
func (r *raster) fill(shapes [][]Point, c color.RGBA) {
	x0, y0, x1, y1 := math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
	for _, s := range shapes {
		for _, p := range s {
			x0, y0, x1, y1 = min(x0, p.X), min(y0, p.Y), max(x1, p.X), max(y1, p.Y)
		}
	}
	area := image.Rect(int(math.Floor(x0)), int(math.Floor(y0)), int(math.Ceil(x1))+1, int(math.Ceil(y1))+1)
	if area.Empty() {
		return
	}
	z := vector.NewRasterizer(area.Dx(), area.Dy())
	at := func(p Point) (float32, float32) {
		return float32(p.X - float64(area.Min.X)), float32(p.Y - float64(area.Min.Y))
	}
	for _, s := range shapes {
		z.MoveTo(at(s[0]))
		for _, p := range s[1:] {
			z.LineTo(at(p))
		}
		z.ClosePath()
	}
	mask := image.NewAlpha(image.Rect(0, 0, area.Dx(), area.Dy()))
	z.Draw(mask, mask.Bounds(), image.Opaque, image.Point{})
	draw.DrawMask(r.img, area, image.NewUniform(c), image.Point{}, mask, image.Point{}, draw.Over)
}

func (r *raster) polygon(points []Point, fill color.RGBA) { r.fill([][]Point{points}, fill) }

func (r *raster) disc(center Point, radius float64, fill color.RGBA) {
	r.fill([][]Point{circle(center, radius)}, fill)
}

func circle(center Point, radius float64) []Point {
	const corners = 20
	points := make([]Point, corners)
	for i := range points {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / corners)
		points[i] = Point{center.X + radius*cos, center.Y + radius*sin}
	}
	return points
}

// line paints a bar for each stretch, and a disc at each corner to join them. Level and upright lines are moved to the
// middle of a pixel, which keeps them sharp.
func (r *raster) line(points []Point, stroke color.RGBA, width, dash float64) {
	if dash > 0 && len(points) == 2 {
		r.dashes(points[0], points[1], stroke, width, dash)
		return
	}
	var shapes [][]Point
	half := width / 2
	for i := range points {
		p := crisp(points[i])
		if i > 0 && i < len(points)-1 && width > 1 {
			shapes = append(shapes, circle(p, half))
		}
		if i+1 == len(points) {
			break
		}
		q := crisp(points[i+1])
		length := math.Hypot(q.X-p.X, q.Y-p.Y)
		if length == 0 {
			continue
		}
		dx, dy := (q.X-p.X)/length*half, (q.Y-p.Y)/length*half
		shapes = append(shapes, []Point{{p.X + dy, p.Y - dx}, {q.X + dy, q.Y - dx}, {q.X - dy, q.Y + dx}, {p.X - dy, p.Y + dx}})
	}
	r.fill(shapes, stroke)
}

func crisp(p Point) Point { return Point{math.Floor(p.X) + 0.5, math.Floor(p.Y) + 0.5} }

func (r *raster) dashes(from, to Point, stroke color.RGBA, width, dash float64) {
	length := math.Hypot(to.X-from.X, to.Y-from.Y)
	for at := 0.0; at < length; at += 2 * dash {
		a, b := at/length, min(1, (at+dash)/length)
		part := func(f float64) Point { return Point{from.X + f*(to.X-from.X), from.Y + f*(to.Y-from.Y)} }
		r.line([]Point{part(a), part(b)}, stroke, width, 0)
	}
}

func (r *raster) text(at Point, size float64, a anchor, ink color.RGBA, text string) {
	switch a {
	case middle:
		at.X -= r.width(size, text) / 2
	case right:
		at.X -= r.width(size, text)
	}
	d := font.Drawer{
		Dst: r.img, Src: image.NewUniform(ink), Face: r.face(size),
		Dot: fixed.Point26_6{X: fixed.Int26_6(at.X * 64), Y: fixed.Int26_6(math.Round(at.Y) * 64)},
	}
	d.DrawString(text)
}
