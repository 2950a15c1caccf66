// Package dashboard is the page that shows Sluice at work: HTML, CSS and plain JavaScript modules, embedded in the binary.
//
// There is no build step: what lies in the folder static is what a browser gets, and an edit is seen after the next build of the
// binary. The page knows the server through its HTTP API only, see docs/http-api.md; [Handler] knows nothing of the server at all.
//
// # Promises
//
//   - The page asks nobody but the server it came from, by relative addresses, so it works offline and below any base path.
//   - Content of records goes onto the page as text. A content security policy without exceptions stands behind that: no script
//     and no style that is not a file of this package is carried out.
//   - Everything the page keeps has a bound. It can stay open for weeks.
//   - All files together are smaller than 200 kB.
//
// # How the page is made
//
//	main.js        the frame: header, navigation, which screen is shown
//	store.js       what is known about the server, and the stream of events it comes from
//	api.js         asking the server; polling
//	stream.js      a stream of live records
//	dom.js         making and changing elements, always by text
//	chart.js       a chart over time, with marks that the keyboard reaches
//	format.js      how numbers, times and strange characters are written
//	overview.js, autoscaler.js (steering.js, settings.js), flow.js, tail.js, dead.js, analyzers.js   a screen each
//
// A screen is a module with make(), which returns {root, update, shown, hidden}. A new one is a module, a line in the list of
// main.js and a name in the screens of GET /v1/ui.
package dashboard
