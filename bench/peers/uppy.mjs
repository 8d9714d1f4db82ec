// Uppy 6 for client.html, which has no modules to import it from.
import AwsS3 from '@uppy/aws-s3'
import Uppy from '@uppy/core'

Object.assign(window, { AwsS3, Uppy })
