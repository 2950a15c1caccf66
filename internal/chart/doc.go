// Package chart draws panels of lines one above the other, as SVG or as PNG. Both come from the same layout and look the
// same. Colours are for a light background, which the picture brings along.
package chart
