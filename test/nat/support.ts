/** A flow opener with all that it needs, for tests below the pipeline. */
import { AddressPool } from '../../src/nat/address-pool.js'
import { SHARED } from '../../src/nat/behaviour.js'
import { EndpointChooser } from '../../src/nat/choose-endpoint.js'
import { allocateFlowTable, FlowTable, SIDE_PORTS, SIDE_WORDS } from '../../src/nat/flow-table.js'
import { type Forward, Forwards } from '../../src/nat/forwards.js'
import { Mappings } from '../../src/nat/mappings.js'
import { FlowOpener } from '../../src/nat/open-flow.js'
import { PortHold } from '../../src/nat/port-hold.js'
import { PortPool } from '../../src/nat/port-pool.js'
import { seededRandom } from '../../src/testing/memory-gateway.js'
import { E, ip, parsed } from '../stack/support.js'

export interface OpenerOptions {
  /** External ports. */
  readonly ports: Iterable<number>
  readonly capacity?: number
  readonly forwards?: readonly Forward[]
  /** Packed, behaviour.ts. Default: shared ports. */
  readonly behaviour?: number
}

/** Opens flows from the LAN (zone 0) to the WAN (zone 1) by way of E. */
export const openerOf = ({ ports, capacity = 1000, forwards = [], behaviour = SHARED }: OpenerOptions) => {
  const table = new FlowTable(allocateFlowTable(capacity), 1)
  const mappings = new Mappings(table, 2)
  const random = seededRandom(1)
  const chooser = new EndpointChooser({
    table, mappings, ports: new PortPool(ports), addresses: new AddressPool(null, 'paired'), forwards: new Forwards(forwards),
    hold: new PortHold(0), blocks: null, deterministic: null, parity: false, keepIdentifiers: true, random,
  })
  table.onClose = (flow) => {
    chooser.forget(flow)
    mappings.remove(flow)
  }
  const opener = new FlowOpener({ table, mappings, chooser, random })
  /** The original side, or -(drop code). */
  const open = (bytes: Uint8Array, now = 0, source = E): number => {
    const { packet } = parsed(bytes)
    const rewrite = { egress: 1, source: ip(source), destination: packet.destination, destinationPort: packet.ports & 0xffff }
    return opener.openFromInside(packet, 0, rewrite, behaviour, now)
  }
  const externalPort = (side: number): number => table.sides[(side ^ 1) * SIDE_WORDS + SIDE_PORTS]! & 0xffff
  return { table, mappings, opener, open, externalPort }
}
