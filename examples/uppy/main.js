import AwsS3 from "@uppy/aws-s3";
import Uppy from "@uppy/core";
import Dashboard from "@uppy/dashboard";
import "@uppy/core/css/style.min.css";
import "@uppy/dashboard/css/style.min.css";

const service = new URLSearchParams(location.search).get("service") ?? "http://localhost:8000";

// A service that asks for tokens takes them in the path: `${service}/u/${token}`. docs/uppy.md says more.
const uppy = new Uppy({ meta: { purpose: "file" } });
// Uppy does not send the size. With it S3 takes no other length.
uppy.on("file-added", (file) => uppy.setFileMeta(file.id, { size: file.size }));
uppy.use(AwsS3, { companionEndpoint: service });
uppy.use(Dashboard, { inline: true, target: "#uppy" });
