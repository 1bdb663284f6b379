/**
 * struct virtio_net_hdr: the ten bytes with which the kernel says what is left to do to a packet (complete a checksum,
 * cut it into segments). TUN with IFF_VNET_HDR and packet sockets with PACKET_VNET_HDR put it before each packet.
 * Fields are in the machine's own byte order. `at` is the address of the header.
 */

export const LENGTH = 10

/** The transport checksum is unfinished: its field holds the uncomplemented pseudo-header sum. */
export const F_NEEDS_CSUM = 1
/** The transport checksum was verified already. */
export const F_DATA_VALID = 2

export const GSO_NONE = 0
export const GSO_TCPV4 = 1
/** UDP to be cut into IP fragments (UFO). Kernels no longer make it. */
export const GSO_UDP = 3
export const GSO_TCPV6 = 4
/** UDP to be cut into datagrams of their own (USO). */
export const GSO_UDP_L4 = 5
/** Added to a TCP type when the segments carry ECN's CWR. */
export const GSO_ECN = 0x80

const LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1

/** F_*. */
export const flags = (view: DataView, at: number): number => view.getUint8(at)
export const setFlags = (view: DataView, at: number, value: number): void => view.setUint8(at, value)

/** GSO_*, possibly with GSO_ECN added. */
export const gsoType = (view: DataView, at: number): number => view.getUint8(at + 1)
export const setGsoType = (view: DataView, at: number, value: number): void => view.setUint8(at + 1, value)

/** Bytes of link, IP and transport header together. A hint: 0 when not known, and often more than the headers. */
export const headerLength = (view: DataView, at: number): number => view.getUint16(at + 2, LITTLE)
export const setHeaderLength = (view: DataView, at: number, value: number): void => view.setUint16(at + 2, value, LITTLE)

/** Bytes of transport payload in each segment. */
export const gsoSize = (view: DataView, at: number): number => view.getUint16(at + 4, LITTLE)
export const setGsoSize = (view: DataView, at: number, value: number): void => view.setUint16(at + 4, value, LITTLE)

/** Where the transport header starts. In the canonical form counted from the IPv4 header. */
export const checksumStart = (view: DataView, at: number): number => view.getUint16(at + 6, LITTLE)
export const setChecksumStart = (view: DataView, at: number, value: number): void => view.setUint16(at + 6, value, LITTLE)

/** Where the checksum field is, counted from `checksumStart`. */
export const checksumOffset = (view: DataView, at: number): number => view.getUint16(at + 8, LITTLE)
export const setChecksumOffset = (view: DataView, at: number, value: number): void => view.setUint16(at + 8, value, LITTLE)

/** Nothing left to do: no flags, no segmentation. */
export const clear = (view: DataView, at: number): void => {
  view.setInt32(at, 0)
  view.setInt32(at + 4, 0)
  view.setInt16(at + 8, 0)
}

/**
 * Copies the header from one address to another (they may overlap) for a packet whose headers are counted from `shift`
 * bytes further ahead: +14 when an Ethernet header comes before the IPv4 header, -14 when it goes.
 * `headerLength` moves when it is known, `checksumStart` when it is in use.
 */
export const copy = (view: DataView, from: number, to: number, shift: number): void => {
  const flagsAndType = view.getUint16(from)
  const header = headerLength(view, from)
  const size = gsoSize(view, from)
  const start = checksumStart(view, from)
  const offset = checksumOffset(view, from)
  view.setUint16(to, flagsAndType)
  setHeaderLength(view, to, header === 0 ? 0 : header + shift)
  setGsoSize(view, to, size)
  setChecksumStart(view, to, (flagsAndType >>> 8) & F_NEEDS_CSUM ? start + shift : start)
  setChecksumOffset(view, to, offset)
}
