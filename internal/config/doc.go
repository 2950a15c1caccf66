// Package config turns flags, environment and a YAML file into one [Config], made of the rooms' own options.
//
// A single table names every setting; flags, variables, keys, `config print` and the reference in docs/ are all read from
// it. The setting max-size is the flag --max-size, the variable SLUICE_MAX_SIZE and the key max_size. A [Loader] takes the
// groups of settings that one command needs:
//
//	loader := config.NewLoader(config.Server, config.Queue, config.Intake)
//	loader.AddFlags(command.Flags())
//	// after the flags are parsed:
//	c, err := loader.Load(os.Environ())
//
// # Who wins
//
// A flag beats the environment, that beats the file, that beats the preset (for the eight values of the autoscaler that a
// preset has), and that beats the default. [Config.Settings] says for each setting which of them it was. A file is read only
// when --config or SLUICE_CONFIG names it. A variable that is set but empty counts as not set.
//
// # One file for all
//
// File and environment may hold settings of groups that the command does not take, so that all processes can share them. Such
// settings must be well-formed, and are not used otherwise.
//
// # Mistakes
//
// Load reports all problems at once, in the words of whoever made them: the key, the value, where it was given, and what is
// wanted. Names that nobody knows are problems too, with the nearest known name as a hint. Of the variables that begin with
// SLUICE_, these are left alone:
//
//   - SLUICE_QUEUETEST_*, which the tests of the queue use;
//   - what Kubernetes sets in each container for services whose names begin with "sluice": SLUICE_SERVICE_HOST,
//     SLUICE_PORT_8000_TCP_ADDR, SLUICE_PORT when it holds a URL, and so on.
//
// The rooms' options take zero for "the default". Here zero is what it says: where it makes sense it is carried out (hold 0
// does not hold), elsewhere it is refused.
package config
