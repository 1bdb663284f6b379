/** Ports of UDP. */
import { join, type MatchExtension, onlyFor } from '../extension.js'
import { givenPorts, listPorts, PORT_OPTIONS, savePorts } from './ports.js'

export const udp: MatchExtension<'udp'> = {
  name: 'udp',
  options: PORT_OPTIONS,
  parse: (given) => ({ module: 'udp', source: givenPorts(given, 'sport'), destination: givenPorts(given, 'dport') }),
  save: ({ source, destination }) => join(savePorts(source, 'sport'), savePorts(destination, 'dport')),
  list: ({ source, destination }, numeric) =>
    join('udp', listPorts(source, 'spt', 'udp', numeric), listPorts(destination, 'dpt', 'udp', numeric)),
  check: (_, where) => onlyFor('-m udp', where, { udp: 17 }),
}
