/** Whether a socket waits for the packet. */
import type { SocketMatch } from '../../model.js'
import { join, type MatchExtension, onlyFrom } from '../extension.js'
import { flag } from '../options.js'

const save = ({ transparent, noWildcard, restoreMark }: SocketMatch): string =>
  join(transparent && '--transparent', noWildcard && '--nowildcard', restoreMark && '--restore-skmark')

export const socket: MatchExtension<'socket'> = {
  name: 'socket',
  options: [flag('transparent'), flag('nowildcard'), flag('restore-skmark')],
  parse: (given) => ({
    module: 'socket',
    transparent: given.has('transparent'),
    noWildcard: given.has('nowildcard'),
    restoreMark: given.has('restore-skmark'),
  }),
  save,
  list: (match) => `socket ${save(match)}`.trimEnd(),
  check: (_, where) => onlyFrom('-m socket', where, ['PREROUTING', 'INPUT']),
}
