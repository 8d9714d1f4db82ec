// The component of docs/client.md, in strict mode. `show` gives it its properties, or with null removes it.
import { StrictMode, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { Files } from './documented-react.jsx'

function App() {
  const [properties, setProperties] = useState(null)
  window.show = setProperties
  window.isReady = true
  return properties && <Files {...properties} />
}

createRoot(document.getElementById('root')).render(
  <StrictMode>
    <App />
  </StrictMode>,
)
