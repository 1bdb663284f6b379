/** What `tsnat ipset help` says. */

/** The release of ipset whose words and layouts these are; programs ask for it. */
export const VERSION_TEXT = 'ipset v7.17 (tsnat), protocol version: 7\n'

export const HELP_TEXT = `Usage: tsnat ipset [OPTIONS] COMMAND

Commands:
  create SET TYPE [OPTION...]            makes a set
  add SET ELEMENT [OPTION...]            adds an element, or those of a range
  del SET ELEMENT                        takes it out
  test SET ELEMENT                       says whether it is in the set; exit code 1 when it is not
  list [SET]                             shows one set, or all
  save [SET]                             the same, as commands
  restore                                carries out saved commands: all of them, or none
  flush [SET]                            takes out all elements
  destroy [SET]                          removes the set, or all sets
  rename SET NAME                        gives a set another name
  swap SET SET                           exchanges what two sets hold
  version, help

Options:
  -exist, -!       what is there already, or not there any more, is no error
  -output FORMAT   plain or save
  -sorted, -s      elements in the order of their addresses
  -name, -n        only names of sets
  -terse, -t       only headers of sets
  -quiet, -q       says nothing that is no error
  -file, -f FILE   to restore from, or to write to

Types, their elements, and options of their own:
  hash:ip          ADDRESS                     netmask LENGTH, bitmask MASK
  hash:net         ADDRESS[/LENGTH]
  hash:ip,port     ADDRESS,[PROTOCOL:]PORT     netmask LENGTH, bitmask MASK
  hash:net,iface   ADDRESS[/LENGTH],[physdev:]INTERFACE
  list:set         SET                         size NUMBER

Options of sets:      timeout SECONDS, counters, comment, maxelem NUMBER, hashsize NUMBER, forceadd, bucketsize, initval, family inet
Options of elements:  timeout SECONDS, packets NUMBER, bytes NUMBER, comment TEXT, nomatch (nets), wildcard (hash:net,iface),
                      before SET, after SET (list:set)
`
