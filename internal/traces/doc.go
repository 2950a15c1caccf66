// Package traces reads traffic for the simulator from what people have: a CSV trace, a log file, or a folder of recorded
// history.
//
//   - A CSV file with the header second,records is read by [simulate.ReadTrace].
//   - A log file counts as one record per line, in the second that the line names. The form of its times is told by its
//     first lines, by the rules of package fields; ISO 8601 may stand anywhere in the line. [Options.TimeFormat] says it
//     for every other form.
//   - A folder holds one CSV file per UTC day, named YYYY-MM-DD.csv, with the header second,records and the seconds of
//     that day. The days are joined.
//
// All files may be compressed with gzip, which is told by their first bytes.
//
// # Rules for log files
//
//   - Only the distance between times matters: a trace starts at the second of its earliest record.
//   - Lines out of order are counted into their second. A time without a zone is taken as UTC.
//   - A line that begins with white space continues the one before, as stack traces do, and is no record.
//   - Other lines without a time are counted and told. Where they are the majority the file is refused.
//   - Without a year, or without a date, a time is the one nearest to the line before.
//
// Memory does not grow with the size of a file, only with the minutes that have records: about 300 bytes each.
package traces
