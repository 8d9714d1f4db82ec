# The stack of infra/template.yaml for those who run Terraform. It makes nothing of its own: docs/terraform.md.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "name" {
  description = "Name of the stack and of its function"
  type        = string
  default     = "image-upload-service"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,47}$", var.name)) && !can(regex("^(aws|ssm)", var.name))
    error_message = "2 to 48 of a-z, 0-9 and hyphen, beginning with a letter, but not with ssm or aws."
  }
}

variable "template_url" {
  description = "https URL of infra/template.yaml in a bucket of the stack's region; it is too long to be sent as a text"
  type        = string
}

variable "image_uri" {
  description = "The image in ECR, by digest: the output of ./deploy.sh --image-only"
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image_uri))
    error_message = "An image by digest, because a tag can move."
  }
}

variable "live_version" {
  description = "The published version that users meet, once it has passed its smoke test; empty for none yet"
  type        = string
  default     = ""
}

variable "parameters" {
  description = "Further parameters of the stack (docs/stack.md), such as { AllowedOrigins = \"https://app.example.com\" }"
  type        = map(string)
  default     = {}
}

resource "aws_cloudformation_stack" "this" {
  name         = var.name
  template_url = var.template_url
  capabilities = ["CAPABILITY_IAM"]

  parameters = merge(var.parameters, {
    ImageUri         = var.image_uri
    LiveVersion      = var.live_version
    VerifierImageUri = var.live_version == "" ? "" : var.image_uri
  })
}

output "outputs" {
  description = "All outputs of the stack, by their names in docs/stack.md"
  value       = aws_cloudformation_stack.this.outputs
}

output "url" {
  description = "The service's address: the edge's where there is one; null until a version is live"
  value = try(
    aws_cloudformation_stack.this.outputs["EdgeUrl"],
    aws_cloudformation_stack.this.outputs["FunctionUrl"],
    null,
  )
}
