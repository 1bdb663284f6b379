/** Targets without options that decide: ACCEPT, DROP, RETURN. */
import type { AcceptTarget, DropTarget, ReturnTarget } from '../../model.js'
import type { TargetExtension } from '../extension.js'

export const accept: TargetExtension<AcceptTarget> = {
  name: 'ACCEPT', options: [], parse: () => ({ kind: 'ACCEPT' }), save: () => '', list: () => '',
}

export const drop: TargetExtension<DropTarget> = {
  name: 'DROP', options: [], parse: () => ({ kind: 'DROP' }), save: () => '', list: () => '',
  check: (_, where) => (where.table === 'nat' ? 'table nat sees the first packet of a flow only; DROP belongs into table filter' : null),
}

export const back: TargetExtension<ReturnTarget> = {
  name: 'RETURN', options: [], parse: () => ({ kind: 'RETURN' }), save: () => '', list: () => '',
}
