// A component as a reader of docs/client.md would write it.
import { StrictMode, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { useUploads } from './dist/react.js'

function Photos({ options }) {
  const { items, queue, dropProps, inputProps, announcement, dragging } = useUploads(options)
  return (
    <section {...dropProps} className={dragging ? 'dragging' : ''}>
      <label>
        Choose files <input {...inputProps} />
      </label>
      <ul>
        {items.map((upload) => (
          <li key={upload.id} data-state={upload.state}>
            {upload.name} <progress value={upload.sent} max={upload.size} />
            <button onClick={() => queue.remove(upload)}>Remove {upload.name}</button>
          </li>
        ))}
      </ul>
      <p role="status">{announcement}</p>
    </section>
  )
}

function App() {
  const [options, setOptions] = useState(null)
  window.show = setOptions
  window.isReady = true
  return options && <Photos options={options} />
}

createRoot(document.getElementById('root')).render(
  <StrictMode>
    <App />
  </StrictMode>,
)
