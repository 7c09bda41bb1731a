// A sentence in which `code` stands between backticks.

export function Ticked({ text }: { text: string }) {
  const parts = text.split('`')
  return parts.map((part, index) => {
    if (index % 2 === 0) return part
    // One that nothing closes is a character like others.
    if (index === parts.length - 1) return `\`${part}`
    return (
      // Parts of one sentence have no identity but their place.
      // oxlint-disable-next-line react/no-array-index-key
      <code key={index} className="text-sm break-all">
        {part}
      </code>
    )
  })
}
