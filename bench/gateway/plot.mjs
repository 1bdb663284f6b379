// An SVG of bar charts: a panel a measure, a bar a gateway, a whisker from the lowest to the highest round.
import { measures } from './measures.mjs'
import { show } from './summary.mjs'

const panels = ['up1', 'down1', 'up8', 'down8', 'echo64', 'echo1', 'flood', 'connect']
const [width, labels, panelWidth, bar, gap, heading] = [1000, 150, 330, 14, 5, 34]

const colour = (name) => name.startsWith('tsnat') ? '#2563eb' : name === 'floor' ? '#64748b' : name === 'direct' || name === 'kernel' ? '#0f766e' : '#d97706'
const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')

const panel = (document, measure, x, y) => {
  const rows = document.variants.map(({ name }) => ({ name, value: document.summary[name]?.[measure.name]?.[measure.main] ?? null }))
  const most = Math.max(...rows.map(({ value }) => value?.max ?? 0), 1e-9)
  const scale = (value) => value / most * (panelWidth - 60)
  const title = `${measure.title} (${measure.unit}${measure.lower ? ', lower is better' : ''})`
  const bars = rows.map(({ name, value }, index) => {
    const top = y + heading + index * (bar + gap)
    const label = `<text x="${x + labels - 8}" y="${top + 11}" text-anchor="end">${escape(name)}</text>`
    if (value === null) return `${label}<text x="${x + labels}" y="${top + 11}" class="note">not measured</text>`
    const middle = top + bar / 2
    const [low, high] = [x + labels + scale(value.min), x + labels + scale(value.max)].map((each) => each.toFixed(1))
    return `${label}<rect x="${x + labels}" y="${top}" width="${scale(value.median).toFixed(1)}" height="${bar}" fill="${colour(name)}"/>` +
      `<path d="M${low} ${middle}H${high}M${low} ${middle - 3}v6M${high} ${middle - 3}v6" class="whisker"/>` +
      `<text x="${Number(high) + 6}" y="${top + 11}" class="note">${show(value.median, measure.digits)}</text>`
  })
  return `<text x="${x + labels}" y="${y + 22}" class="title">${escape(title)}</text>${bars.join('\n')}`
}

/** The whole picture, as text. */
export const plot = (document) => {
  const shown = panels.map((name) => measures.find((each) => each.name === name)).filter((each) =>
    document.variants.some(({ name }) => document.summary[name]?.[each.name] !== undefined))
  const panelHeight = heading + document.variants.length * (bar + gap) + 10
  const height = Math.ceil(shown.length / 2) * panelHeight + 10
  const style = 'text{font:11px sans-serif;fill:#334155}.title{font-weight:bold;font-size:12px}.note{fill:#64748b}.whisker{stroke:#0f172a;stroke-width:1;fill:none}'
  const body = shown.map((measure, index) => panel(document, measure, index % 2 * (width / 2), Math.floor(index / 2) * panelHeight))
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">\n` +
    `<style>${style}</style><rect width="100%" height="100%" fill="#fff"/>\n${body.join('\n')}\n</svg>\n`
}
