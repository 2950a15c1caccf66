// Package doctor looks at a machine before Sluice runs on it, or while it does, and says in words what will hurt and what to do.
//
// [Gather] collects [Facts]: what the disk, the limits, the clock, the ports and the configuration are. [Examine] turns facts into findings; it is a
// pure function, so that every finding has a test without a machine that is ill in that way. Nothing is changed: the data folder is not made, a
// lock is only asked for, and the file that the speed of the disk is measured with is removed again.
package doctor
